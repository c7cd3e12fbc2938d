// The address space of a cell as a picture: regions, functions, distances, each call an arrow.
//
// The picture is not to scale: 2 PiB would leave nothing of a function to be seen. Functions come
// in the order of addresses, from low to high downwards, and the distance to the next one stands
// between them. An arrow goes from caller to callee, one for all calls of a kind between the two;
// it has a lane of its own beside the functions, short ones near to them, so that no two lie on
// each other.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.hpp"
#include "model/axes.hpp"
#include "model/code_image.hpp"
#include "model/json.hpp"

namespace farcall::show {

struct LayoutFunction {
  std::string name;
  std::string_view region;  // the name of where it lies
  GuestAddress address;
  std::uint64_t bytes = 0;
};

// A call by the callee's name, one through a register, a tail call.
enum class ArrowKind : std::uint8_t { call, register_call, tail_call };

// All calls of one kind from one function to another, or to itself. Functions are numbers of rows.
struct LayoutArrow {
  ArrowKind kind = ArrowKind::call;
  std::size_t from = 0;
  std::size_t to = 0;
  std::size_t sites = 0;    // how many call sites
  Displacement distance{};  // from the first of them to where it goes
  std::size_t lane = 0;     // from 0, the nearest to the functions; of no meaning for itself

  bool is_recursion() const { return from == to; }
};

struct Layout {
  std::string title;                 // the cell's name
  std::string_view reach;            // how the code gets from caller to callee
  std::vector<LayoutFunction> rows;  // by address
  std::vector<LayoutArrow> arrows;   // by caller, callee and kind
  std::size_t lanes = 0;
};

// The bytes between the end of a row's function and the start of the next one, as people read them:
// `2.0 PiB`. Up to 16 EiB, which a Displacement cannot hold.
std::string gap_after(const Layout& layout, std::size_t row);

// `made` are the calls of the interpreter's run: the image does not say where a call through a
// register or a tail call goes, and such a one that the run did not make is not drawn.
Layout layout(std::string title, const model::AxisValues& axes, const model::CodeImage& image,
              std::span<const bpf::PseudoCall> made);

// `by abs64`, `through a register`: how the code gets from an arrow's caller to its callee.
std::string way_of(const Layout& layout, const LayoutArrow& arrow);

// With box-drawing characters, and a table of the arrows below.
std::string layout_text(const Layout& layout);

model::Json layout_json(const Layout& layout);

// A document of its own, which can also be put into HTML as it is. Text in it is escaped.
std::string layout_svg(const Layout& layout);

}  // namespace farcall::show
