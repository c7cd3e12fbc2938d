// An ELF file that holds nothing but symbols, for debuggers: `add-symbol-file FILE` in gdb.
//
// An executable for ppc64 in the guest's byte order and ABI. Each function has a section of its own
// at its address, without contents (NOBITS: what is there is in the guest), and a symbol of type
// FUNC. With ELFv1 the function's symbol is its descriptor, and the code's symbol has the same name
// with a dot before it, as that ABI has it. Descriptors are in sections .opd of their own, contents
// and all, as gdb looks for them there: to break at the function is to break at its code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/axes.hpp"
#include "model/code_image.hpp"
#include "show/symbol.hpp"

namespace farcall::show {

// Whether each function's code has a second symbol: its name in the BPF program, as people know it.
enum class OwnNames : std::uint8_t { no, yes };

// `symbols` is what symbols() made of `image`.
std::vector<std::byte> symbol_file(const model::CodeImage& image, std::span<const Symbol> symbols,
                                   const model::AxisValues& axes,
                                   OwnNames own_names = OwnNames::no);

}  // namespace farcall::show
