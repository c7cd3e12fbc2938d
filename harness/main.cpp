#include "command/command_line.hpp"
#include "vm/images_folder.hpp"

int main(int argc, char** argv) {
  return farcall::command::command_line(argc, argv, farcall::vm::images_folder());
}
