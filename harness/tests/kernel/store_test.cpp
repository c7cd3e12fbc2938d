#include "kernel/store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "kernel/fetch.hpp"
#include "tests/program.hpp"

namespace farcall::kernel::store_test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Fetched put(const Store& store, Kind kind, const std::string& version, bool has_64k_pages = false) {
  const auto lock = store.lock();
  const fs::path partial = store.make_partial().value();
  std::ofstream(partial / "vmlinux-6.1") << "1234";
  return store
      .put(partial, {.kind = kind,
                     .version = version,
                     .has_64k_pages = has_64k_pages,
                     .packages = {{"linux-image-6.1.0-50-powerpc64le", "0513cb"}},
                     .folder = {},
                     .vmlinux = kind == Kind::image ? partial / "vmlinux-6.1" : fs::path()})
      .value();
}

std::string versions(const Store& store) {
  std::string text;
  for (const Fetched& fetched : store.all()) {
    text += std::string(name(fetched.kind)) + " " + version_name(fetched) + "; ";
  }
  return text;
}

TEST(Store, WhatWasPutIsFoundAsItWas) {
  const tests::ScratchFolder folder;
  const Store store(folder.path() / "kernels");
  EXPECT_EQ(versions(store), "");
  const Fetched image = put(store, Kind::image, "6.1.176-1");
  EXPECT_EQ(image.byte_count, 4U);
  EXPECT_EQ(tests::contents(image.vmlinux), "1234");
  EXPECT_THAT(store.all(), ElementsAre(image));
}

TEST(Store, TheNewestThatIsWantedIsTaken) {
  const tests::ScratchFolder folder;
  const Store store(folder.path());
  put(store, Kind::image, "6.12.95-1");
  put(store, Kind::image, "6.12.107-1");
  put(store, Kind::image, "6.12.95-1", true);
  put(store, Kind::source, "6.12.117-1");
  EXPECT_EQ(versions(store),
            "source 6.12.117-1; image 6.12.107-1; image 6.12.95-1; image 6.12.95-1-64k; ");
  const auto version_of = [&](const char* text) {
    return version_name(store.get(wanted(Kind::image, text).value()).value());
  };
  EXPECT_EQ(version_of("6.12"), "6.12.107-1");
  EXPECT_EQ(version_of("6.12.95"), "6.12.95-1");
  EXPECT_EQ(version_of("6.12-64k"), "6.12.95-1-64k");
}

TEST(Store, WhatIsNotThereSaysHowToBringIt) {
  const tests::ScratchFolder folder;
  const auto none = Store(folder.path()).get(wanted(Kind::source, "6.12").value());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kernel_not_fetched);
  EXPECT_EQ(none.error().hint, "farcall kernel fetch --source 6.12");
}

TEST(Store, WhatIsHalfThereDoesNotCountAndIsCleared) {
  const tests::ScratchFolder folder;
  const Store store(folder.path());
  const fs::path partial = store.make_partial().value();
  std::ofstream(partial / "vmlinux") << "half";
  fs::create_directories(folder.path() / "linux-image-6.1.176-1");
  folder.write("linux-image-6.1.176-1/farcall.json", "{\"kind\": \"image\"");
  EXPECT_THAT(store.all(), IsEmpty());
  ASSERT_TRUE(store.lock());
  EXPECT_FALSE(fs::exists(partial));
  put(store, Kind::image, "6.1.176-1");
  EXPECT_EQ(versions(store), "image 6.1.176-1; ");
}

TEST(Store, WhatIsRemovedIsGoneAndNothingElse) {
  const tests::ScratchFolder folder;
  const Store store(folder.path());
  put(store, Kind::image, "6.1.176-1");
  const Fetched other = put(store, Kind::source, "6.1.176-1");
  const auto lock = store.lock();
  ASSERT_TRUE(store.remove(store.get(wanted(Kind::image, "6.1").value()).value()));
  EXPECT_THAT(store.all(), ElementsAre(other));
}

TEST(Uris, AreReadWithSizesAndChecksums) {
  EXPECT_THAT(
      read_uris("'http://deb.debian.org/debian/pool/main/l/linux/a_6.1_all.deb' a_6.1_all.deb "
                "139047704 SHA256:0543813917\n"
                "Get:1 something else\n"
                "'http://x/y.deb' ../y.deb 5 SHA256:00\n"),
      ElementsAre(Download{"a_6.1_all.deb", 139047704, "0543813917"}));
}

}  // namespace
}  // namespace farcall::kernel::store_test
