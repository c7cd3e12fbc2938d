#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string_view>

#include "command/command_tree.hpp"

namespace farcall::command {
namespace {

// As roff has it: a hyphen that is to be copied, a backslash, and no line that is a request.
std::string roff(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '-') {
      result += "\\-";
    } else if (c == '\\') {
      result += "\\e";
    } else {
      if ((c == '.' || c == '\'') && (result.empty() || result.back() == '\n')) {
        result += "\\&";
      }
      result += c;
    }
  }
  return result;
}

std::string synopsis(const CommandHelp& command) {
  std::string text = fmt::format("\\fBfarcall {}\\fR", roff(command.name));
  for (const OptionHelp& option : command.options) {
    if (option.positional) {
      text += fmt::format(" \\fI{}\\fR{}", roff(option.name), option.repeats ? " ..." : "");
    }
  }
  return command.inner.empty() ? text : text + " \\fICOMMAND\\fR";
}

void add_option(std::string& page, const OptionHelp& option) {
  const std::string value = option.positional || option.value.empty()
                                ? ""
                                : fmt::format(" \\fI{}\\fR", roff(option.value));
  page += fmt::format(".TP\n{}{}{}{}\n{}", option.positional ? "\\fI" : "\\fB", roff(option.name),
                      "\\fR", value, roff(option.description));
  if (!option.choices.empty() &&
      option.description.find(option.choices.front()) == std::string::npos) {
    page += fmt::format(": {}", roff(fmt::format("{}", fmt::join(option.choices, ", "))));
  }
  page += ".\n";
}

constexpr std::string_view kEnd = R"(.SH EXIT STATUS
.TP
0
all cells passed
.TP
1
some cell failed
.TP
2
bad usage or input
.TP
3
farcall or a machine failed
.TP
130, 143
ended by Ctrl\-C or SIGTERM
.SH ENVIRONMENT
.TP
\fBNO_COLOR\fR
if it is set and not empty, nothing is in colours.
.TP
\fBXDG_CACHE_HOME\fR
where farcall keeps what it has found out about QEMU, in a folder \fIfarcall\fR; by default
.IR ~/.cache .
.SH SEE ALSO
.BR qemu\-system\-ppc64 (1),
.BR gdb (1),
.BR bpftool (8)
)";

}  // namespace

std::string manual_page(const std::vector<CommandHelp>& commands) {
  std::string page = fmt::format(
      ".TH FARCALL 1 \"November 26, 2026\" \"farcall {}\"\n"
      ".SH NAME\nfarcall \\- check where JITed BPF calls land on ppc64\n"
      ".SH SYNOPSIS\n\\fBfarcall\\fR \\fICOMMAND\\fR [\\fIARGUMENT\\fR ...]\n"
      ".SH DESCRIPTION\n"
      "farcall takes BPF programs, places their functions anywhere in the 64\\-bit address space,\n"
      "compiles them to ppc64, runs them in a guest of its own under QEMU, and says for each call\n"
      "site whether the interpreter, the emitted bytes and the branch that the CPU took agree.\n",
      FARCALL_VERSION);
  std::string purpose;
  for (const CommandHelp& command : commands) {
    if (command.purpose != purpose) {
      purpose = command.purpose;
      std::string title = purpose;
      std::ranges::transform(title, title.begin(),
                             [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
      page += fmt::format(".SH {}\n", roff(title));
    }
    page += fmt::format(".SS {}\n{}.\n", synopsis(command), roff(command.description));
    for (const OptionHelp& option : command.options) {
      add_option(page, option);
    }
  }
  return page + std::string(kEnd);
}

}  // namespace farcall::command
