#!/usr/bin/env bash
# Runs a command in another release of Debian, in this source tree, with its own build folder (build/debian-<release>).
#
#   scripts/in_debian.sh 13 scripts/test.sh dev
#   scripts/in_debian.sh 13 scripts/budgets.sh update
#
# The release is a folder in ~/.cache/arkrelay-debian, made on first use with debootstrap; packages that are installed in it stay.
# The command uses the machine's network, but has its own mounts and processes. Needs root.
# Exit status: that of the command; 77 if the release cannot be set up here (the reason is printed).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/debian_base.sh
. scripts/debian_base.sh

declare -A codenames=([12]=bookworm [13]=trixie)

say() { printf 'in_debian: %s\n' "$*" >&2; }
cannot() { say "SKIPPED, Debian ${release:-} cannot be set up here: $*"; exit 77; }

unpack() {                           # unpack TARBALL FOLDER
    local part
    part=$(mktemp -d "$2.XXXXXX")
    chmod 755 "$part"
    tar -C "$part" -xf "$1"
    mv -T "$part" "$2"
}

set_up() {
    local base
    [[ -d $root ]] && return
    ((EUID == 0)) || cannot "it needs root"
    scripts/install_deps.sh debian || cannot "debootstrap cannot be installed"
    base=$debian_cache/$codename-$(dpkg --print-architecture).tar
    [[ -s $base ]] || { say "bootstrapping $codename"; debian_base "$codename" "$base" >&2; } || cannot "debootstrap failed"
    unpack "$base" "$root"
}

# Runs inside new namespaces: nothing that is mounted here is visible outside, and all of it ends with the command.
# shellcheck disable=SC2016  # expanded by the inner shells
readonly ENTER='
    root=$1 build=$2
    shift 2
    mkdir -p "$root/src"
    mount --bind "$root" "$root"      # pivot_root needs a mount point
    mount --rbind /dev "$root/dev"
    mount --rbind /sys "$root/sys"
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    cp --remove-destination /etc/resolv.conf /etc/hosts "$root/etc/"
    mount --bind . "$root/src"
    mount --bind "$build" "$root/src/build"
    # Not chroot: a process in a chroot may not create user namespaces, which systemd does for PrivateUsers=.
    cd "$root"
    pivot_root . .
    umount --lazy .
    exec env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
        bash -c "cd /src && exec \"\$@\"" in_debian "$@"'

(($# > 1)) || { say "usage: scripts/in_debian.sh RELEASE COMMAND..."; exit 1; }
release=$1
shift
codename=${codenames[$release]:-}
[[ -n $codename ]] || { say "no release '$release'; there are: ${!codenames[*]}"; exit 1; }
root=$debian_cache/debian-$release
build=build/debian-$release
set_up
mkdir -p "$build"
exec unshare --mount --pid --fork --kill-child bash -euc "$ENTER" in_debian "$root" "$build" "$@"
