# Sourced by ci/run and ci/test: what a new Debian 12 machine lacks, and how farcall is built.

# What builds farcall and runs cells. Guests are built by one cross toolchain for both byte orders.
packages=(
  cmake ninja-build g++ pkg-config git ccache python3
  libboost-dev libboost-filesystem-dev libfmt-dev nlohmann-json3-dev libcli11-dev libelf-dev libpugixml-dev
  libssl-dev libbpf-dev libsqlite3-dev libvirt-dev libgtest-dev libgmock-dev libbenchmark-dev
  qemu-system-ppc g++-powerpc64-linux-gnu
  clang  # C programs of cases/
)

# What the tests use besides. `farcall doctor` says which of these a command wants.
test_packages=(
  gdb-multiarch
  libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients
  libvirt-daemon-system  # the user libvirt-qemu, without whom libvirt starts nothing as root
  clang-format-19 clang-tidy-19 clang-19 libclang-rt-19-dev  # the sanitized build and the fuzzers
  zsh fish mandoc  # read what is made for them: completions, the manual page
  dpkg-dev  # dpkg-shlibdeps, for cpack -G DEB
  gcc-powerpc64le-linux-gnu qemu-user make flex bison bc xz-utils  # the JIT of a kernel's source, as a process
  python3-dev python3-venv libxml2-utils chromium  # the Python package, and tests of reports
)

# The wheel is made of the same objects as build/: what one has compiled serves the other. A cache
# that several clones share (set CCACHE_DIR) serves each of them: no path of a clone counts.
export CCACHE_DIR=${CCACHE_DIR:-$PWD/build/ccache} CMAKE_CXX_COMPILER_LAUNCHER=ccache
export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$PWD} CCACHE_NOHASHDIR=1

fail() {
  printf 'error: %s\n' "$@" >&2
  exit 3
}

# missing_packages PACKAGE…
missing_packages() {
  local installed
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
  local package
  for package in "$@"; do
    grep -qxF "installed $package" <<<"$installed" || printf '%s\n' "$package"
  done
}

# install_packages [PACKAGE…]: of `packages` and these installs what is missing, as root or through
# sudo, and asks nothing.
install_packages() {
  local wanted=("${packages[@]}" "$@") missing
  command -v dpkg-query >/dev/null || fail "this is not a Debian system" "install by hand what these packages hold: ${wanted[*]}"
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  ((${#missing[@]} == 0)) && return
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || fail "packages are missing, and neither root nor sudo is here to install them" "missing: ${missing[*]}"
    as_root=(sudo -n)
  fi
  printf 'Installing %s\n' "${missing[*]}"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
  "${apt[@]}" update >/dev/null || fail "apt-get update failed"
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null ||
    fail "apt-get could not install: ${missing[*]}"
}

# The build of which everything is tested, fuzzers included.
configure_sanitized() {
  # A test is linked with what it tests, not with all that is one unit with it.
  configure build/sanitized -DFARCALL_FEW_UNITS=OFF -DFARCALL_SANITIZE=ON \
    -DCMAKE_CXX_COMPILER=clang++-19 -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O1
}

# configure FOLDER [CMake option…]
configure() {
  local folder=$1
  shift
  # Files in few units: what a file costs is mostly its headers and the templates that it shares with
  # its neighbours. An editor's build of your own is better off without.
  [[ -f $folder/build.ninja ]] || cmake -S . -B "$folder" -G Ninja --log-level=WARNING \
    -DCMAKE_UNITY_BUILD=ON -DFARCALL_FEW_UNITS=ON "$@" >/dev/null
}

# build FOLDER TARGET…: ninja shows its progress on a terminal; elsewhere a line says every 20 s how
# far it is. What a compiler says is shown in any case.
build() {
  local folder=$1
  shift
  if [[ -t 1 && ${TERM-dumb} != dumb ]]; then
    ninja -C "$folder" "$@"
  else
    NINJA_STATUS='[%f/%t] ' ninja -C "$folder" "$@" | every_20_seconds "$folder"
  fi
}

# Of ninja's own lines on standard input, the newest every 20 s, and the last; all others at once.
every_20_seconds() {
  local folder=$1 line newest='' next=$((SECONDS + 20)) code
  while true; do
    code=0
    IFS= read -r -t 1 line || code=$?
    if ((code == 0)); then
      if [[ $line == '['*/*']'* || $line == 'ninja: '* ]]; then newest=$line; else printf '%s\n' "$line"; fi
    elif ((code <= 128)); then
      break
    fi
    if ((SECONDS >= next)); then
      printf '%s: %s (%d s)\n' "$folder" "${newest%% *}" "$SECONDS"
      next=$((SECONDS + 20))
    fi
  done
  [[ -z $newest ]] || printf '%s: %s (%d s)\n' "$folder" "${newest%% *}" "$SECONDS"
}
