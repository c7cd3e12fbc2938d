// The state of a campaign in an SQLite file, for people to query and for campaigns to go on from.
//
// Work is done in blocks of programs. What came of a block is written in one transaction once all
// of it is known: a campaign that is killed has lost no more than the blocks that were under way,
// and does them again. Nothing is counted twice, however often files are merged, since each row
// says which block it is of.
//
//   blocks    (jit, seed, block)            programs, passed, failed, skipped, errors, seconds,
//                                           ended
//   findings  (jit, code, site, shape)      the reduced case, who found it first, culprit; shape: the
//                                           instruction that is wrong, or the code of a wrong call
//   seen      (jit, seed, block, finding)   how often
//   coverage  (jit, kind, trait, shape)     kind `code`: an instruction and the code made of it;
//                                           `call`: a call and how far it went
//   corpus    (jit, seed, program)          programs that showed something new, as cases
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"

struct sqlite3;

namespace farcall::campaign {

struct BlockId {
  std::string jit;
  std::uint64_t seed = 0;
  std::uint64_t block = 0;

  friend auto operator<=>(const BlockId&, const BlockId&) = default;
};

struct StoredFinding {
  std::string jit;
  std::string code;
  std::string site;
  std::string shape;
  std::string culprit;  // traits, one a line, by which a program is known to have it
  std::string text;     // the reduced case
  std::uint64_t instructions = 0;
  std::uint64_t program = 0;  // who showed it first
  std::uint64_t seed = 0;
  double seconds = 0;  // of the campaign, when it was found

  std::string key() const { return code + "|" + site + "|" + shape; }
};

struct KeptProgram {
  std::uint64_t seed = 0;
  std::uint64_t program = 0;
};

struct StoredCoverage {
  std::string kind, trait, shape;
};

struct StoredBlock {
  BlockId id;
  std::uint64_t programs = 0, passed = 0, failed = 0, skipped = 0, errors = 0;
  double seconds = 0;                                       // it took
  double ended = 0;                                         // seconds since 1970
  std::vector<std::pair<std::string, std::uint64_t>> seen;  // findings by key, how often
  std::vector<StoredCoverage> coverage;                     // what is new
  struct Kept {
    std::uint64_t program = 0;
    std::string why, text;
  };
  std::vector<Kept> corpus;
};

class Store {
 public:
  // An empty path: in memory. file.unwritable.
  static Result<Store> open(const std::filesystem::path& path);

  // All throw std::runtime_error where SQLite fails: a disk that is full.
  std::vector<BlockId> blocks() const;
  void add(const StoredBlock& block);
  void add(const StoredFinding& finding);  // known ones stay as they are
  std::vector<StoredFinding> findings() const;
  std::vector<StoredCoverage> coverage(const std::string& jit) const;

  std::vector<KeptProgram> kept() const;  // the corpus, of any JIT, each once

  struct Totals {
    std::string jit;
    std::uint64_t programs = 0, passed = 0, failed = 0, skipped = 0, errors = 0;
    double seconds = 0;
  };
  std::vector<Totals> totals() const;
  // How often each finding was seen, by JIT and key.
  std::uint64_t times(const StoredFinding& finding) const;
  // Programs of each minute, from the first.
  std::vector<std::uint64_t> throughput() const;

  // Takes over what another campaign has. file.unreadable.
  Result<void> merge(const std::filesystem::path& other);

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  std::unique_ptr<sqlite3, Close> database_;
};

}  // namespace farcall::campaign
