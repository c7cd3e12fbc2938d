#include "model/axes.hpp"

#include <gtest/gtest.h>

namespace farcall::model::axes_test {
namespace {

TEST(Axes, NamesAndValuesAreThoseOfCaseFiles) {
  EXPECT_EQ(name(Axis::endian), "endian");
  EXPECT_EQ(name(Axis::guest), "guest");
  EXPECT_EQ(axis_named("call"), Axis::call);
  EXPECT_EQ(axis_named("calls"), std::nullopt);
  AxisValues axes;
  axes.call = CallScheme::pair64;
  axes.cpu = Cpu::power10;
  EXPECT_EQ(value_name(axes, Axis::call), "pair64");
  EXPECT_EQ(value_name(axes, Axis::cpu), "power10");
  EXPECT_EQ(value_name(axes, Axis::endian), "le");
}

TEST(Axes, EveryValueOfEveryAxisCanBeSetAndReadBack) {
  for (std::size_t i = 0; i < kAxisCount; ++i) {
    const auto axis = static_cast<Axis>(i);
    for (std::size_t value = 0; value < value_names(axis).size(); ++value) {
      AxisValues axes;
      set_value(axes, axis, value);
      EXPECT_EQ(value_of(axes, axis), value) << name(axis);
      for (std::size_t other = 0; other < kAxisCount; ++other) {
        const auto untouched = static_cast<Axis>(other);
        if (untouched != axis) {
          EXPECT_EQ(value_of(axes, untouched), value_of(AxisValues{}, untouched))
              << name(untouched);
        }
      }
    }
  }
}

}  // namespace
}  // namespace farcall::model::axes_test
