// Which cells --where and --filter mean.
#include "case/wanted.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace farcall::cases::wanted_test {
namespace {

using testing::HasSubstr;

TEST(Wanted, ConditionsHoldTogether) {
  const std::vector<std::string> texts = {"cpu=power9,power10", "endian=le"};
  const auto conditions = read_conditions(texts);
  ASSERT_TRUE(conditions) << to_string(conditions.error());
  const auto holds = [&](model::Cpu cpu, model::Endian endian) {
    model::AxisValues axes;
    axes.cpu = cpu;
    axes.endian = endian;
    return all_hold(conditions.value(), axes);
  };
  EXPECT_TRUE(holds(model::Cpu::power9, model::Endian::little));
  EXPECT_TRUE(holds(model::Cpu::power10, model::Endian::little));
  EXPECT_FALSE(holds(model::Cpu::power8, model::Endian::little));
  EXPECT_FALSE(holds(model::Cpu::power9, model::Endian::big));
}

TEST(Wanted, BadConditionsSayWhatWasExpected) {
  const auto message = [](const std::string& text) {
    const std::vector<std::string> texts = {text};
    const auto read = read_conditions(texts);
    return read ? std::string() : std::string(read.error().message);
  };
  EXPECT_THAT(message("cpu"), HasSubstr("--where 'cpu': expected AXIS=VALUE"));
  EXPECT_THAT(message("cpus=power9"), HasSubstr("expected AXIS=VALUE"));
  EXPECT_THAT(message("cpu=power9,power11"), HasSubstr("expected cpu=VALUE with one of power8"));
}

TEST(MayMatch, GoesByWhatIsBeforeThePattern) {
  for (const char* const filter :
       {"far", "far@*", "far@le-power9", "f*", "*", "*@aux64", "f?r", "[f]ar", "far*", "far@"}) {
    EXPECT_TRUE(may_match(filter, "far")) << filter;
  }
  for (const char* const filter : {"near", "far-2p", "fax*", "farther@*", "far-2p@le"}) {
    EXPECT_FALSE(may_match(filter, "far")) << filter;
  }
}

}  // namespace
}  // namespace farcall::cases::wanted_test
