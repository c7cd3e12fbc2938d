#include "stock/kernel.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/farcall_process.hpp"
#include "tests/stock/stock_guest.hpp"

namespace farcall::stock::kernel_test {
namespace {

using testing::StartsWith;

TEST(StockKernels, OfOneNameAreToldApartByTheirPaths) {
  const tests::ScratchFolder folder;
  const StockKernel fetched = stock_kernel(tests::kKernel).value();
  const auto linked = [&](const std::string& name) {
    const std::filesystem::path path = folder.path() / name / "build" / "vmlinux";
    std::filesystem::create_directories(path.parent_path());
    std::filesystem::create_symlink(fetched.vmlinux, path);
    return stock_kernel(path.string()).value();
  };
  std::vector<StockKernel> kernels;
  kernels.push_back(stock_kernel(tests::kKernel).value());
  kernels.push_back(linked("one"));
  kernels.push_back(linked("other"));
  EXPECT_EQ(kernels[1].asked.name, kernels[2].asked.name);
  tell_apart(kernels);
  EXPECT_EQ(jit_name(kernels[0]), jit_name(fetched));
  EXPECT_THAT(jit_name(kernels[1]), StartsWith("linux:6.1."));
  EXPECT_THAT(jit_name(kernels[1]), testing::EndsWith("/one/build/vmlinux"));
  EXPECT_THAT(jit_name(kernels[2]), testing::EndsWith("/other/build/vmlinux"));

  std::vector<StockKernel> twice;
  twice.push_back(stock_kernel(tests::kKernel).value());
  twice.push_back(stock_kernel(tests::kKernel).value());
  tell_apart(twice);
  EXPECT_EQ(jit_name(twice[1]), jit_name(fetched));
}

}  // namespace
}  // namespace farcall::stock::kernel_test
