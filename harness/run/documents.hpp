// Documents in an order, each made when its turn comes: running a million of them needs no more
// memory than running a thousand.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "model/axes.hpp"
#include "model/document.hpp"

namespace farcall::run {

class Documents {
 public:
  // They are called from any thread, also at the same time. A document lives as long as someone
  // holds it.
  using AxesAt = std::function<model::AxisValues(std::size_t index)>;
  using DocumentAt = std::function<std::shared_ptr<const model::Document>(std::size_t index)>;

  // What the registers and the memory hold that nobody has written, see make_job().
  using SeedAt = std::function<std::uint64_t(std::size_t index)>;

  Documents(std::size_t count, AxesAt axes, DocumentAt document, SeedAt seed = nullptr)
      : count_(count),
        axes_(std::move(axes)),
        document_(std::move(document)),
        seed_(std::move(seed)) {}

  // These documents one after the other, and all of them `times` times.
  Documents(std::vector<model::Document> documents, std::size_t times = 1,  // NOLINT(*-explicit-*)
            SeedAt seed = nullptr)
      : seed_(std::move(seed)) {
    const auto all = std::make_shared<const std::vector<model::Document>>(std::move(documents));
    count_ = all->size() * times;
    axes_ = [all](std::size_t index) { return (*all)[index % all->size()].cell.axes; };
    document_ = [all](std::size_t index) {
      return std::shared_ptr<const model::Document>(all, &(*all)[index % all->size()]);
    };
  }

  std::size_t size() const { return count_; }
  model::AxisValues axes(std::size_t index) const { return axes_(index); }
  std::uint64_t seed(std::size_t index) const { return seed_ ? seed_(index) : 0; }
  std::shared_ptr<const model::Document> at(std::size_t index) const { return document_(index); }

 private:
  std::size_t count_ = 0;
  AxesAt axes_;
  DocumentAt document_;
  SeedAt seed_;
};

}  // namespace farcall::run
