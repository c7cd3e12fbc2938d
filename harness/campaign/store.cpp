#include "campaign/store.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <stdexcept>
#include <utility>

namespace farcall::campaign {
namespace {

constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS blocks (
  jit TEXT, seed INTEGER, block INTEGER, programs INTEGER, passed INTEGER, failed INTEGER,
  skipped INTEGER, errors INTEGER, seconds REAL, ended REAL, PRIMARY KEY (jit, seed, block));
CREATE TABLE IF NOT EXISTS findings (
  jit TEXT, code TEXT, site TEXT, shape TEXT, culprit TEXT, text TEXT, instructions INTEGER,
  program INTEGER, seed INTEGER, seconds REAL, PRIMARY KEY (jit, code, site, shape));
CREATE TABLE IF NOT EXISTS seen (
  jit TEXT, seed INTEGER, block INTEGER, finding TEXT, times INTEGER,
  PRIMARY KEY (jit, seed, block, finding));
CREATE TABLE IF NOT EXISTS coverage (
  jit TEXT, kind TEXT, trait TEXT, shape TEXT, PRIMARY KEY (jit, kind, trait, shape));
CREATE TABLE IF NOT EXISTS corpus (
  jit TEXT, seed INTEGER, program INTEGER, why TEXT, text TEXT, PRIMARY KEY (jit, seed, program));
)";

[[noreturn]] void fail(sqlite3* database) {
  throw std::runtime_error(
      fmt::format("the campaign's state cannot be read or written: {}", sqlite3_errmsg(database)));
}

void execute(sqlite3* database, const char* text) {
  if (sqlite3_exec(database, text, nullptr, nullptr, nullptr) != SQLITE_OK) {
    fail(database);
  }
}

// A statement with its values, from ?1 on.
class Statement {
 public:
  Statement(sqlite3* database, const char* text) : database_(database) {
    if (sqlite3_prepare_v2(database, text, -1, &statement_, nullptr) != SQLITE_OK) {
      fail(database);
    }
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }

  Statement& bind(const std::string& text) {
    sqlite3_bind_text(statement_, ++bound_, text.data(), static_cast<int>(text.size()),
                      SQLITE_TRANSIENT);
    return *this;
  }
  Statement& bind(std::uint64_t number) {
    sqlite3_bind_int64(statement_, ++bound_, static_cast<sqlite3_int64>(number));
    return *this;
  }
  Statement& bind(double number) {
    sqlite3_bind_double(statement_, ++bound_, number);
    return *this;
  }
  // Whether there is a row.
  bool step() {
    const int code = sqlite3_step(statement_);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
      fail(database_);
    }
    return code == SQLITE_ROW;
  }
  std::string text(int column) const {
    const auto* const at = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return at == nullptr
               ? std::string()
               : std::string(at,
                             static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)));
  }
  std::uint64_t number(int column) const {
    return static_cast<std::uint64_t>(sqlite3_column_int64(statement_, column));
  }
  double real(int column) const { return sqlite3_column_double(statement_, column); }

 private:
  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

// All or nothing.
class Transaction {
 public:
  explicit Transaction(sqlite3* database) : database_(database) {
    execute(database, "BEGIN IMMEDIATE");
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction() {
    if (!done_) {
      sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
    }
  }
  void commit() {
    execute(database_, "COMMIT");
    done_ = true;
  }

 private:
  sqlite3* database_;
  bool done_ = false;
};

}  // namespace

void Store::Close::operator()(sqlite3* database) const {
  sqlite3_close(database);
}

Result<Store> Store::open(const std::filesystem::path& path) {
  Store store;
  sqlite3* database = nullptr;
  const int code = sqlite3_open(path.empty() ? ":memory:" : path.c_str(), &database);
  store.database_.reset(database);
  // Write-ahead: whoever reads meanwhile does not wait, and a kill loses nothing that was
  // committed.
  const bool good = code == SQLITE_OK && sqlite3_busy_timeout(database, 30'000) == SQLITE_OK &&
                    sqlite3_exec(database, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
                                 nullptr, nullptr, nullptr) == SQLITE_OK &&
                    sqlite3_exec(database, kSchema, nullptr, nullptr, nullptr) == SQLITE_OK;
  if (!good) {
    return Error{.code = ErrorCode::file_unwritable,
                 .message = fmt::format("the campaign's state: {}", sqlite3_errmsg(database)),
                 .where = {path.string()},
                 .hint = "expected a file that SQLite can make and write, or one of a campaign"};
  }
  return store;
}

std::vector<BlockId> Store::blocks() const {
  std::vector<BlockId> all;
  Statement select(database_.get(), "SELECT jit, seed, block FROM blocks");
  while (select.step()) {
    all.push_back({.jit = select.text(0), .seed = select.number(1), .block = select.number(2)});
  }
  return all;
}

void Store::add(const StoredBlock& block) {
  sqlite3* const database = database_.get();
  Transaction transaction(database);
  const auto of_block = [&](Statement& statement) -> Statement& {
    return statement.bind(block.id.jit).bind(block.id.seed).bind(block.id.block);
  };
  Statement insert(database,
                   "INSERT OR IGNORE INTO blocks VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)");
  of_block(insert)
      .bind(block.programs)
      .bind(block.passed)
      .bind(block.failed)
      .bind(block.skipped)
      .bind(block.errors)
      .bind(block.seconds)
      .bind(block.ended)
      .step();
  for (const auto& [key, times] : block.seen) {
    Statement seen(database, "INSERT OR IGNORE INTO seen VALUES (?1,?2,?3,?4,?5)");
    of_block(seen).bind(key).bind(times).step();
  }
  for (const StoredCoverage& covered : block.coverage) {
    Statement one(database, "INSERT OR IGNORE INTO coverage VALUES (?1,?2,?3,?4)");
    one.bind(block.id.jit).bind(covered.kind).bind(covered.trait).bind(covered.shape).step();
  }
  for (const StoredBlock::Kept& kept : block.corpus) {
    Statement one(database, "INSERT OR IGNORE INTO corpus VALUES (?1,?2,?3,?4,?5)");
    one.bind(block.id.jit)
        .bind(block.id.seed)
        .bind(kept.program)
        .bind(kept.why)
        .bind(kept.text)
        .step();
  }
  transaction.commit();
}

void Store::add(const StoredFinding& finding) {
  Statement insert(database_.get(),
                   "INSERT OR IGNORE INTO findings VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)");
  insert.bind(finding.jit)
      .bind(finding.code)
      .bind(finding.site)
      .bind(finding.shape)
      .bind(finding.culprit)
      .bind(finding.text)
      .bind(finding.instructions)
      .bind(finding.program)
      .bind(finding.seed)
      .bind(finding.seconds)
      .step();
}

std::vector<StoredFinding> Store::findings() const {
  std::vector<StoredFinding> all;
  Statement select(database_.get(),
                   "SELECT jit, code, site, shape, culprit, text, instructions, program, seed, "
                   "seconds FROM findings ORDER BY jit, seconds");
  while (select.step()) {
    all.push_back({.jit = select.text(0),
                   .code = select.text(1),
                   .site = select.text(2),
                   .shape = select.text(3),
                   .culprit = select.text(4),
                   .text = select.text(5),
                   .instructions = select.number(6),
                   .program = select.number(7),
                   .seed = select.number(8),
                   .seconds = select.real(9)});
  }
  return all;
}

std::vector<StoredCoverage> Store::coverage(const std::string& jit) const {
  std::vector<StoredCoverage> all;
  Statement select(database_.get(),
                   "SELECT kind, trait, shape FROM coverage WHERE jit = ?1 ORDER BY kind, trait");
  select.bind(jit);
  while (select.step()) {
    all.push_back({.kind = select.text(0), .trait = select.text(1), .shape = select.text(2)});
  }
  return all;
}

std::vector<KeptProgram> Store::kept() const {
  std::vector<KeptProgram> all;
  Statement select(database_.get(), "SELECT DISTINCT seed, program FROM corpus ORDER BY 1, 2");
  while (select.step()) {
    all.push_back({.seed = select.number(0), .program = select.number(1)});
  }
  return all;
}

std::vector<Store::Totals> Store::totals() const {
  std::vector<Totals> all;
  Statement select(database_.get(),
                   "SELECT jit, SUM(programs), SUM(passed), SUM(failed), SUM(skipped), "
                   "SUM(errors), SUM(seconds) FROM blocks GROUP BY jit");
  while (select.step()) {
    all.push_back({.jit = select.text(0),
                   .programs = select.number(1),
                   .passed = select.number(2),
                   .failed = select.number(3),
                   .skipped = select.number(4),
                   .errors = select.number(5),
                   .seconds = select.real(6)});
  }
  return all;
}

std::uint64_t Store::times(const StoredFinding& finding) const {
  Statement select(database_.get(), "SELECT SUM(times) FROM seen WHERE jit = ?1 AND finding = ?2");
  select.bind(finding.jit).bind(finding.key());
  return select.step() ? select.number(0) : 0;
}

std::vector<std::uint64_t> Store::throughput() const {
  std::vector<std::uint64_t> minutes;
  Statement select(database_.get(),
                   "SELECT CAST((ended - (SELECT MIN(ended) FROM blocks)) / 60 AS INTEGER) AS "
                   "minute, SUM(programs) FROM blocks GROUP BY minute ORDER BY minute");
  constexpr std::uint64_t kMostMinutes = 100'000;
  while (select.step()) {
    if (select.number(0) < kMostMinutes) {
      minutes.resize(select.number(0) + 1);
      minutes.back() = select.number(1);
    }
  }
  return minutes;
}

Result<void> Store::merge(const std::filesystem::path& other) {
  if (!std::filesystem::exists(other)) {
    return Error{.code = ErrorCode::file_unreadable,
                 .message = "there is no state of a campaign",
                 .where = {other.string()}};
  }
  FARCALL_TRY(opened, Store::open(other));  // gives it all tables
  opened.database_.reset();
  sqlite3* const database = database_.get();
  Statement(database, "ATTACH ?1 AS other").bind(other.string()).step();
  {
    Transaction transaction(database);
    // Of a block that both have done, this one counts.
    execute(database,
            "INSERT OR IGNORE INTO main.seen SELECT * FROM other.seen AS theirs WHERE NOT EXISTS "
            "(SELECT 1 FROM main.blocks AS ours WHERE ours.jit = theirs.jit AND ours.seed = "
            "theirs.seed AND ours.block = theirs.block)");
    for (const char* const table : {"blocks", "findings", "coverage", "corpus"}) {
      execute(database,
              fmt::format("INSERT OR IGNORE INTO main.{0} SELECT * FROM other.{0}", table).c_str());
    }
    transaction.commit();
  }
  execute(database, "DETACH other");
  return success();
}

}  // namespace farcall::campaign
