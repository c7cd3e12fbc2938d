#include "run/command_line.hpp"

int main(int argc, char** argv) {
  return farcall::run::command_line(argc, argv);
}
