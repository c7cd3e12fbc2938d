# Where farcall goes when it is installed, and what `cpack -G DEB` makes of it.
include(GNUInstallDirs)
set(farcall_data ${CMAKE_INSTALL_DATADIR}/farcall)

install(TARGETS farcall DESTINATION ${CMAKE_INSTALL_BINDIR})
# The plugin looks for its server beside itself, and only the plugin is for people to call.
install(TARGETS farcall-bpf-plugin farcall-bpf-plugin-server
        DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/farcall)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/installed)
file(CREATE_LINK ../${CMAKE_INSTALL_LIBEXECDIR}/farcall/farcall-bpf-plugin
     ${CMAKE_BINARY_DIR}/installed/farcall-bpf-plugin SYMBOLIC)
install(FILES ${CMAKE_BINARY_DIR}/installed/farcall-bpf-plugin
        DESTINATION ${CMAKE_INSTALL_BINDIR})
farcall_install_data(${farcall_data})

# Made by farcall from its own options.
set(made ${CMAKE_BINARY_DIR}/installed)
set(documents "")
function(farcall_document file)
  add_custom_command(
    OUTPUT ${made}/${file}
    COMMAND farcall ${ARGN} > ${made}/${file}
    DEPENDS farcall
    VERBATIM)
  set(documents ${documents} ${made}/${file} PARENT_SCOPE)
endfunction()
farcall_document(completion.bash completion bash)
farcall_document(completion.zsh completion zsh)
farcall_document(completion.fish completion fish)
farcall_document(farcall.1 manual)
add_custom_command(
  OUTPUT ${made}/farcall.1.gz
  COMMAND gzip -9nc ${made}/farcall.1 > ${made}/farcall.1.gz
  DEPENDS ${made}/farcall.1
  VERBATIM)
add_custom_target(farcall_documents ALL DEPENDS ${documents} ${made}/farcall.1.gz)
install(FILES ${made}/farcall.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${made}/completion.bash RENAME farcall
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${made}/completion.zsh RENAME _farcall
        DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
install(FILES ${made}/completion.fish RENAME farcall.fish
        DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)

install(FILES README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
farcall_install_licences(${CMAKE_INSTALL_DOCDIR} copyright)

set(CPACK_PACKAGE_NAME farcall)
set(CPACK_PACKAGE_VENDOR "The farcall project")
set(CPACK_PACKAGE_CONTACT "The farcall project <farcall@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "check where JITed BPF calls land on ppc64")
set(CPACK_PACKAGE_DESCRIPTION
    "farcall takes BPF programs, places their functions anywhere in the 64-bit address space, "
    "compiles them to ppc64, runs them in a guest of its own under QEMU, and says for each call "
    "site whether the interpreter, the emitted bytes and the branch that the CPU took agree.")
list(JOIN CPACK_PACKAGE_DESCRIPTION "" CPACK_PACKAGE_DESCRIPTION)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION devel)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS qemu-system-ppc)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS gdb-multiarch)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libvirt0, libvirt-daemon-driver-qemu")
include(CPack)
