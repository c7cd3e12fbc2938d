#include "campaign/edits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <string>
#include <utility>

namespace farcall::campaign {
namespace {

// A line of a program by its place, as edits name it.
struct LineAt {
  std::size_t program;
  std::size_t function;
  std::size_t line;
};

std::vector<LineAt> lines_of(const Sketch& sketch) {
  std::vector<LineAt> all;
  for (std::size_t p = 0; p < sketch.programs.size(); ++p) {
    for (std::size_t f = 0; f < sketch.programs[p].functions.size(); ++f) {
      const auto& lines = sketch.programs[p].functions[f].lines;
      for (std::size_t i = 0; i < lines.size(); ++i) {
        if (!is_label(lines[i])) {
          all.push_back({p, f, i});
        }
      }
    }
  }
  return all;
}

std::string& line(Sketch& sketch, LineAt at) {
  return sketch.programs[at.program].functions[at.function].lines[at.line];
}

const std::string& line(const Sketch& sketch, LineAt at) {
  return sketch.programs[at.program].functions[at.function].lines[at.line];
}

// `-1` is simpler than any number but 0 and 1: so nothing goes round in circles.
std::vector<std::string> simpler_texts(const std::string& text) {
  std::vector<std::string> simpler;
  const std::string mnemonic = text.substr(0, text.find(' '));
  const std::string operands = text.substr(std::min(text.size(), mnemonic.size() + 1));
  const std::string first = operands.substr(0, operands.find(','));
  const std::size_t comma = text.rfind(", ");
  const bool is_jump = mnemonic.starts_with('j') && mnemonic != "ja" && comma != std::string::npos;
  const bool is_set = mnemonic == "mov" || mnemonic == "lddw";
  if (is_table(text)) {  // an element less
    if (comma != std::string::npos) {
      simpler.push_back(text.substr(0, comma));
    }
    return simpler;
  }
  if (is_jump) {
    simpler.push_back("ja " + text.substr(comma + 2));
  } else if (mnemonic == "call" || mnemonic == "callx") {
    simpler.emplace_back("mov %r0, 0");
  } else if (!is_set && first.starts_with("%r") && comma != std::string::npos) {
    if (text.substr(comma + 2).starts_with('%')) {
      simpler.push_back(fmt::format("mov {}, {}", first, text.substr(comma + 2)));
    }
    simpler.push_back(fmt::format("mov {}, 0", first));
    simpler.push_back(fmt::format("mov {}, -1", first));
  }
  // A smaller number in place of the last operand.
  const std::string last = comma == std::string::npos ? "" : text.substr(comma + 2);
  const bool is_number =
      !last.empty() &&
      (std::isdigit(static_cast<unsigned char>(last.front())) != 0 || last.front() == '-');
  if (is_number && !is_jump) {
    const bool negative = last.front() == '-';
    const std::uint64_t value =
        negative ? static_cast<std::uint64_t>(std::stoll(last)) : std::stoull(last, nullptr, 0);
    const std::string head = text.substr(0, comma + 2);
    const std::string mov_head = mnemonic == "lddw" ? "mov" + head.substr(4) : head;
    if (value > 1) {
      for (const char* const number : {"0", "1"}) {
        simpler.push_back(mov_head + number);
      }
      const bool shifts = mnemonic.find("sh") != std::string::npos;  // -1 would be beyond the width
      if (value != UINT64_MAX && !shifts) {
        simpler.push_back(mov_head + "-1");
      }
      if (value < 1ULL << 31 && !negative) {
        simpler.push_back(fmt::format("{}{}", mov_head, value / 2));
      }
    } else if (value == 1) {
      simpler.push_back(mov_head + "0");
    }
  } else if (is_set && last.starts_with('%')) {
    simpler.push_back(text.substr(0, comma + 2) + "0");
  }
  return simpler;
}

template <typename List>
void add_removals(std::vector<Edit>& edits, const Sketch& from, List Sketch::* list) {
  for (std::size_t i = 0; i < (from.*list).size(); ++i) {
    const auto item = (from.*list)[i];
    edits.emplace_back([list, item](Sketch& sketch) {
      const auto found = std::ranges::find(sketch.*list, item);
      if (found != (sketch.*list).end()) {
        (sketch.*list).erase(found);
      }
    });
  }
}

Edit changed_bytes(std::size_t i, void (*change)(std::vector<std::byte>&)) {
  return [i, change](Sketch& sketch) {
    const std::size_t first = sketch.mem ? 1 : 0;
    if (i < first) {
      change(*sketch.mem);
    } else if (i - first < sketch.data.size()) {
      change(sketch.data[i - first].bytes);
    }
  };
}

}  // namespace

std::vector<Edit> simpler_axes(const Sketch& sketch) {
  std::vector<Edit> edits;
  if (sketch.axes == model::AxisValues{}) {
    return edits;
  }
  edits.emplace_back([](Sketch& changed) { changed.axes = {}; });
  for (std::size_t i = 0; i < model::kAxisCount; ++i) {
    edits.emplace_back([i](Sketch& changed) {
      set_value(changed.axes, static_cast<model::Axis>(i),
                value_of(model::AxisValues{}, static_cast<model::Axis>(i)));
    });
  }
  return edits;
}

std::vector<Edit> single_functions(const Sketch& sketch) {
  std::vector<Edit> edits;
  for (std::size_t p = 0; p < sketch.programs.size(); ++p) {
    for (std::size_t f = p == 0 ? 1 : 0; f < sketch.programs[p].functions.size(); ++f) {
      for (const bool sets_result : {false, true}) {
        edits.emplace_back([p, f, sets_result](Sketch& changed) {
          if (p >= changed.programs.size() || f >= changed.programs[p].functions.size()) {
            return;  // another one is alone already
          }
          SketchProgram program = changed.programs[p];
          std::swap(program.functions[0], program.functions[f]);
          if (f != 0) {
            program.functions.erase(program.functions.begin() + static_cast<std::ptrdiff_t>(f));
          }
          program.functions[0].name = "main";
          if (sets_result) {
            auto& lines = program.functions[0].lines;
            lines.insert(lines.begin(), "mov %r0, 0");
          }
          changed.programs[0] = std::move(program);
        });
      }
    }
  }
  return edits;
}

std::vector<Edit> fewer_lines(const Sketch& sketch, std::size_t size) {
  const std::vector<LineAt> lines = lines_of(sketch);
  std::vector<Edit> edits;
  for (std::size_t end = lines.size(); end > 0; end -= std::min(size, end)) {
    const std::size_t begin = end - std::min(size, end);
    edits.emplace_back([lines, begin, end](Sketch& changed) {
      for (std::size_t i = begin; i < end; ++i) {
        line(changed, lines[i]).clear();
      }
    });
  }
  return edits;
}

std::vector<Edit> simpler_lines(const Sketch& sketch) {
  std::vector<Edit> edits;
  for (const LineAt at : lines_of(sketch)) {
    const std::string text = line(sketch, at);
    for (std::string& simpler : simpler_texts(text)) {
      edits.emplace_back([at, text, simpler = std::move(simpler)](Sketch& changed) {
        if (line(changed, at) == text) {
          line(changed, at) = simpler;
        }
      });
    }
  }
  return edits;
}

std::vector<Edit> fewer_declarations(const Sketch& sketch) {
  std::vector<Edit> edits;
  add_removals(edits, sketch, &Sketch::data);
  add_removals(edits, sketch, &Sketch::arrays);
  add_removals(edits, sketch, &Sketch::externals);
  add_removals(edits, sketch, &Sketch::places);
  edits.emplace_back([](Sketch& changed) { changed.mem.reset(); });
  edits.emplace_back([](Sketch& changed) { changed.callx = bpf::Callx::none; });
  for (std::size_t i = 0; i < sketch.registers.size(); ++i) {
    if (sketch.registers[i]) {
      edits.emplace_back([i](Sketch& changed) { changed.registers[i].reset(); });
    }
  }
  for (const SketchExternal& item : sketch.externals) {
    const auto change = [&](auto how) {
      edits.emplace_back([item, how](Sketch& changed) {
        const auto found = std::ranges::find(changed.externals, item);
        if (found != changed.externals.end()) {
          how(*found);
        }
      });
    };
    change([](SketchExternal& external) { external.returns.clear(); });
    change([](SketchExternal& external) { external.takes = 0; });
    change([](SketchExternal& external) { external.fills.reset(); });
  }
  return edits;
}

std::vector<Edit> rounder_places(const Sketch& sketch) {
  std::vector<Edit> edits;
  for (const auto& place : sketch.places) {
    const std::size_t plus = place.second.find("+0x");
    if (plus == std::string::npos) {
      continue;
    }
    const std::uint64_t offset = std::stoull(place.second.substr(plus + 1), nullptr, 16);
    for (unsigned bits = 60; bits >= 2; bits -= 2) {
      const std::uint64_t rounded = offset >> bits << bits;
      if (rounded != 0 && rounded != offset) {
        const std::string simpler = fmt::format("{}+{:#x}", place.second.substr(0, plus), rounded);
        edits.emplace_back([place, simpler](Sketch& changed) {
          const auto found = std::ranges::find(changed.places, place);
          if (found != changed.places.end()) {
            found->second = simpler;
          }
        });
      }
    }
  }
  return edits;
}

std::size_t count_of_bytes(const Sketch& sketch) {
  return (sketch.mem ? 1 : 0) + sketch.data.size();
}

Edit half_the_bytes(std::size_t i) {
  return changed_bytes(i,
                       [](std::vector<std::byte>& bytes) { bytes.resize((bytes.size() + 1) / 2); });
}

Edit one_byte_less(std::size_t i) {
  return changed_bytes(i, [](std::vector<std::byte>& bytes) {
    bytes.resize(std::max<std::size_t>(bytes.size(), 2) - 1);
  });
}

Edit zeroed_bytes(std::size_t i) {
  return changed_bytes(
      i, [](std::vector<std::byte>& bytes) { std::ranges::fill(bytes, std::byte{0}); });
}

Sketch without_empty_lines(Sketch sketch) {
  for (SketchProgram& program : sketch.programs) {
    for (SketchFunction& function : program.functions) {
      std::erase_if(function.lines, [](const std::string& text) { return text.empty(); });
    }
  }
  return sketch;
}

}  // namespace farcall::campaign
