// What a cell that failed must come to before its code is blamed.
//
// The same job runs once more: a guest counts instructions and keeps nothing of other jobs, so it
// ends the same again, or the machine is at fault. Then the search for what the code read before
// anybody had written it: the job runs with the garbage of another seed, and if it ends differently,
// with what lies between the two, until one piece of it is left (check/garbage.hpp).
//
//   SecondLook look(ended(cell, verdict, seen), job, job_of_other_seed);
//   while (auto next = look.next_job()) {
//     look.take(…run it, and ended() of what came of it…);
//   }
//   look.conclude(verdict, other_seed);
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/cell.hpp"
#include "model/job.hpp"
#include "model/verdict.hpp"

namespace farcall::check {

// How a job ended, as far as that must not depend on what nobody has written.
struct End {
  model::Ending ending = model::Ending::returned;
  std::optional<GuestAddress> fault;
  std::vector<std::pair<ErrorCode, std::string>> findings;  // and their sites
  std::optional<std::uint64_t> result;
  std::vector<model::JobRegion> memory;

  friend bool operator==(const End&, const End&) = default;
};

// The same, and in words.
struct Ended {
  End end;
  std::string told;
};

Ended ended(const model::Cell& cell, const model::Verdict& verdict,
            const model::Observations& observed);

class SecondLook {
 public:
  // `first`: how `job` has ended. `other` differs from it in garbage only.
  SecondLook(Ended first, model::Job job, model::Job other);

  // What is to run next; nothing: it is over.
  std::optional<model::Job> next_job();

  // How the job of next_job() ended.
  void take(Ended seen);

  // Whether the job has ended the same twice: the failure is then known to be one.
  bool is_repeated() const { return repeated_; }

  // Once it is over: puts into the verdict what it has come to.
  void conclude(model::Verdict& verdict, std::uint64_t other_seed) const;

 private:
  Ended first_;
  model::Job job_;
  model::Job other_;
  bool over_ = false;
  bool repeated_ = false;
  std::string told_;      // how it ended otherwise, if it did
  std::size_t same_ = 0;  // with so many pieces of the other's it ends as the first did
  std::optional<std::size_t> differs_;  // with so many it does not; empty: not known to
  std::size_t asked_ = 0;
};

}  // namespace farcall::check
