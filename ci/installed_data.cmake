# What every installed farcall has beside its programs, whoever installs it: the package and the
# wheel.

# farcall_install_data(FOLDER [install options…]): guest images, their symbols, gdb's commands, what
# makes a process of a kernel's JIT, and the cases that `farcall schemes` is made of.
function(farcall_install_data folder)
  install(DIRECTORY ${CMAKE_BINARY_DIR}/images/ DESTINATION ${folder}/images ${ARGN}
    FILES_MATCHING PATTERN "*.bin" PATTERN "*.elf" PATTERN "farcall_gdb.py" PATTERN "linux-agent" PATTERN "linux-agent-be" PATTERN "distance_probe.c"
    PATTERN "bare" EXCLUDE PATTERN "CMakeFiles" EXCLUDE PATTERN "kernel-jit" EXCLUDE)
  install(DIRECTORY ${CMAKE_BINARY_DIR}/images/kernel-jit DESTINATION ${folder}/images ${ARGN})
  set(cases ${CMAKE_SOURCE_DIR}/cases)
  file(GLOB distance_cases CONFIGURE_DEPENDS ${cases}/c/distance-*.case)
  install(FILES ${cases}/scheme/regions.case DESTINATION ${folder}/case-files/scheme ${ARGN})
  install(FILES ${distance_cases} ${cases}/c/distance.bpf.o
    DESTINATION ${folder}/case-files/c ${ARGN})
endfunction()

# Debian packages whose code becomes part of the programs: headers, and static
# libraries. Their licences go with them.
set(FARCALL_LICENCE_PACKAGES libboost-dev nlohmann-json3-dev libcli11-dev libfmt-dev libpugixml-dev
    libssl-dev libsqlite3-dev libc6-dev libgcc-s1)

# farcall_install_licences(FOLDER NAME [install options…]): a file of farcall's own licence and those
# of what it contains, from where Debian has them. To install without them would be to break them.
function(farcall_install_licences folder name)
  set(all ${CMAKE_BINARY_DIR}/installed/${name})
  file(READ ${CMAKE_SOURCE_DIR}/LICENSE text)
  string(PREPEND text "farcall itself:\n\n")
  set(missing "")
  foreach(package IN LISTS FARCALL_LICENCE_PACKAGES)
    set(file /usr/share/doc/${package}/copyright)
    if(package STREQUAL "libboost-dev")  # refers to the package that it stands for
      file(GLOB file /usr/share/doc/libboost1.*-dev/copyright)
      list(SORT file)
      list(REVERSE file)
      list(SUBLIST file 0 1 file)
    endif()
    if(EXISTS "${file}")
      file(READ ${file} licence)
      # Boost's names the authors of each of its 40,000 files; its licence asks for its own text.
      string(FIND "${licence}" " Boost Software License - Version 1.0" begin)
      if(package STREQUAL "libboost-dev" AND NOT begin EQUAL -1)
        string(SUBSTRING "${licence}" ${begin} -1 licence)
        string(FIND "${licence}" "\n\n" end)
        string(SUBSTRING "${licence}" 0 ${end} licence)
      endif()
      string(APPEND text "\n\n--- parts of ${package}:\n\n${licence}")
    else()
      list(APPEND missing ${package})
    endif()
  endforeach()
  file(WRITE ${all} "${text}")
  if(missing)
    install(CODE "message(FATAL_ERROR \"no licence of ${missing}: expected /usr/share/doc/PACKAGE/copyright\")" ${ARGN})
  endif()
  install(FILES ${all} DESTINATION ${folder} ${ARGN})
endfunction()
