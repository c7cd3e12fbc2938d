#include "kernel/selftest.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>
#include <regex>
#include <sstream>

#include "kernel/initramfs.hpp"
#include "wire/kernel_selftest.hpp"

namespace farcall::kernel {
namespace {

constexpr std::string_view kModule = "test_bpf: ";
constexpr std::size_t kLastLines = 12;
constexpr std::size_t kLinesBefore = 6;                // the line that tells of trouble
constexpr auto kPatience = std::chrono::seconds(900);  // a suite takes up to 50 s

// A line without what a console puts around it: the time, the caller, the carriage return.
std::string_view bare(std::string_view line) {
  while (line.starts_with('[')) {
    const std::size_t end = line.find("] ");
    if (end == std::string_view::npos) {
      break;
    }
    line.remove_prefix(end + 2);
  }
  while (line.ends_with('\r') || line.ends_with(' ')) {
    line.remove_suffix(1);
  }
  return line;
}

bool has_ended(const std::string& words) {
  return words.ends_with("PASS") || words.find(" FAIL") != std::string::npos ||
         words.find("UNEXPECTED_") != std::string::npos;
}

// Whether the line is the rest of one that another record has cut.
bool is_rest(std::string_view line) {
  static const std::regex kRest(
      R"((jited:[01]|(\d+ )*(PASS|FAIL)|\d+ |ret -?\d+ != |FAIL |UNEXPECTED_))");
  return std::regex_search(line.begin(), line.end(), kRest, std::regex_constants::match_continuous);
}

KernelTest::Said said_in(const std::string& words) {
  if (words.ends_with(" PASS")) {
    return KernelTest::Said::pass;
  }
  return has_ended(words) ? KernelTest::Said::fail : KernelTest::Said::nothing;
}

// `#12 ALU_MOV_X: dst = 2 jited:1 13 PASS`.
KernelTest read_test(unsigned number, std::string words) {
  KernelTest test{.number = number, .description = {}, .jited = {}, .said = said_in(words)};
  const std::size_t begin = words.find(' ') + 1;
  constexpr std::string_view kJited = " jited:";
  const std::size_t jited = words.rfind(kJited);
  std::size_t end = jited;
  if (jited != std::string::npos) {
    test.jited = words.substr(jited + kJited.size(), 1) == "1";
  } else {
    // One that is not to be loaded says no more than how that went.
    constexpr std::array<std::string_view, 4> kEnds = {" PASS", " FAIL", " UNEXPECTED_PASS",
                                                       " UNEXPECTED_FAIL"};
    for (const std::string_view word : kEnds) {
      end = std::min(end, words.rfind(word));
    }
  }
  test.description = words.substr(begin, end == std::string::npos ? end : end - begin);
  test.words = std::move(words);
  return test;
}

std::vector<std::string> lines_of(const std::string& log) {
  std::vector<std::string> lines;
  std::istringstream all(log);
  for (std::string line; std::getline(all, line);) {
    if (const std::string_view text = bare(line); !text.empty()) {
      lines.emplace_back(text);
    }
  }
  return lines;
}

// So many lines up to `end`, which is not one of them.
std::string lines_up_to(const std::vector<std::string>& lines, std::size_t end, std::size_t most) {
  const std::size_t first = end - std::min(end, most);
  return fmt::format("{}", fmt::join(std::span(lines).subspan(first, end - first), "\n"));
}

std::string last_lines(const std::string& log) {
  const std::vector<std::string> lines = lines_of(log);
  return lines_up_to(lines, lines.size(), kLastLines);
}

// The line that tells of trouble, and what stands around it; empty: there is none.
std::string trouble_with_lines(const std::string& log) {
  const std::string trouble = trouble_in(log);
  if (trouble.empty()) {
    return {};
  }
  const std::vector<std::string> lines = lines_of(log);
  const auto at = static_cast<std::size_t>(std::ranges::find(lines, bare(trouble)) - lines.begin());
  const std::size_t end = std::min(lines.size(), at + kLastLines);
  return fmt::format("{}; around it:\n{}", bare(trouble),
                     lines_up_to(lines, end, kLinesBefore + kLastLines));
}

Error not_ours(std::string message) {
  return {.code = ErrorCode::machine_bad_answer,
          .message = "the agent in the Linux guest: " + std::move(message)};
}

}  // namespace

SuiteLog read_suite(std::string_view log) {
  static const std::regex kTest(R"(#(\d+) .*)");
  static const std::regex kSummary(R"((?:\w+: )?Summary: (\d+) PASSED, (\d+) FAILED.*)");
  SuiteLog suite;
  std::optional<std::pair<unsigned, std::string>> open;
  const auto close = [&] {
    if (open) {
      suite.tests.push_back(read_test(open->first, std::move(open->second)));
      open.reset();
    }
  };
  const auto number = [](const std::ssub_match& match) {
    unsigned value = 0;
    const std::string digits = match.str();
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
  };
  std::istringstream lines{std::string(log)};
  for (std::string line; std::getline(lines, line);) {
    std::string_view text = bare(line);
    if (!text.starts_with(kModule)) {
      if (open && !has_ended(open->second) && is_rest(text)) {
        open->second += " " + std::string(text);
      }
      continue;
    }
    text.remove_prefix(kModule.size());
    const std::string words(text);
    std::smatch match;
    if (std::regex_match(words, match, kTest)) {
      close();
      open = {number(match[1]), words};
    } else if (std::regex_match(words, match, kSummary)) {
      close();
      suite.summary = {.passed = number(match[1]), .failed = number(match[2])};
    }
  }
  close();
  return suite;
}

Result<SuiteRun> run_suite(const GuestSpec& spec, std::span<const std::string> modules,
                           std::string_view suite, wire::KernelMode mode,
                           const std::function<bool()>& stopped) {
  wire::KernelSelftest wanted{.magic = wire::kSelftestMagic,
                              .nonce = new_nonce(),
                              .mode = static_cast<std::uint32_t>(mode),
                              .module_count = static_cast<std::uint32_t>(modules.size()),
                              .parameters = {}};
  const std::string parameters = fmt::format("test_suite={}", suite);
  parameters.copy(wanted.parameters, wire::kModuleParameterBytes - 1);
  std::vector<InitramfsFile> files = {
      {.path = "selftest", .mode = S_IFREG | 0644, .bytes = std::as_bytes(std::span(&wanted, 1))}};
  for (std::size_t i = 0; i < modules.size(); ++i) {
    files.push_back({.path = fmt::format("module{}", i),
                     .mode = S_IFREG | 0644,
                     .bytes = std::as_bytes(std::span(modules[i]))});
  }
  GuestSpec talkative = spec;
  talkative.log_level = 7;  // the tests' records are of level 6
  talkative.patience = kPatience;
  FARCALL_TRY(guest, boot(talkative, files, {.stopped = stopped}));
  std::array<wire::KernelSelftestReply, 2> replies = {};
  const std::size_t size = guest.reply.size();
  if (size > sizeof replies || size % sizeof replies[0] != 0) {
    return not_ours(fmt::format("its reply has {} bytes", size));
  }
  std::memcpy(replies.data(), guest.reply.data(), size);
  const bool has_ended = size == sizeof replies;
  if (replies[0].magic != wire::kSelftestBegins || replies[0].nonce != wanted.nonce ||
      (has_ended &&
       (replies[1].magic != wire::kSelftestEnds || replies[1].nonce != wanted.nonce))) {
    return not_ours("its reply is none to this run");
  }
  return SuiteRun{.log = read_suite(guest.log),
                  .has_ended = has_ended,
                  .error = replies[1].error,
                  .trouble = trouble_with_lines(guest.log),
                  .last_lines = last_lines(guest.log)};
}

}  // namespace farcall::kernel
