# Sourced by ci/package and ci/wheel, which prove what they made in an empty root of Debian.

# Mounts are seen by this script and its children alone, and end with them: call it first.
unshare_mounts() {
  ((EUID == 0)) || fail "$0 changes root: run it as root"
  [[ -n ${FARCALL_UNSHARED-} ]] || FARCALL_UNSHARED=1 exec unshare --mount --propagation private "$0" "$@"
}

# make_root [PACKAGE…]: an empty root of the Debian that this machine runs, with those packages. Its
# path is in `root`; who calls it sees to it that remove_root is called at the end.
make_root() {
  command -v mmdebstrap >/dev/null || apt-get -qq install -y --no-install-recommends mmdebstrap >/dev/null ||
    fail 'mmdebstrap is missing and cannot be installed'
  suite=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
  root=$(mktemp -d "${TMPDIR:-/tmp}/farcall-root-XXXXXX")
  mmdebstrap --quiet --variant=apt --mode=root "$suite" "$root" "deb http://deb.debian.org/debian $suite main"
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
  local setting
  for setting in /etc/apt/apt.conf.d/*; do
    # What other packages of this machine have put there calls programs that the root lacks.
    dpkg-query -S "$setting" >/dev/null 2>&1 || grep -qE 'Invoke|Hook' "$setting" || cp "$setting" "$root/etc/apt/apt.conf.d/"
  done
  local folder
  for folder in proc sys dev; do
    mount --rbind "/$folder" "$root/$folder"
  done
  inside apt-get -qq update  # mmdebstrap leaves no list of what there is
  (($# == 0)) || inside apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

remove_root() {
  [[ -n ${root-} ]] || return 0
  mountpoint -q "$root/proc" && umount --recursive --lazy "$root"/{proc,sys,dev} || true
  rm -rf --one-file-system "$root"
}

inside() {
  chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}
