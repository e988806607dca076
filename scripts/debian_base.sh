# shellcheck shell=bash
# Sourced by in_debian.sh and by the container test: the base system of a Debian release, from the machine's own Debian mirror.

# shellcheck disable=SC2034  # used by the sourcing scripts
debian_cache=${XDG_CACHE_HOME:-$HOME/.cache}/arkrelay-debian

# shellcheck disable=SC2016  # apt expands it
debian_mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 'Component: main' | head -n 1
}

# The proxy that the machine uses, for apt inside the release.
apt_proxy() {
    apt-config dump | grep -iE '^Acquire::https?::proxy' || true
    [[ -z ${http_proxy:-} ]] || printf 'Acquire::http::Proxy "%s";\n' "$http_proxy"
}

# debian_base CODENAME TARBALL: makes the tarball. On failure it prints the last lines of debootstrap.
debian_base() {
    local work tree mirror
    mkdir -p "${2%/*}"
    work=$(mktemp -d "${2%/*}/bootstrap.XXXXXX")
    tree=$work/tree
    mirror=$(debian_mirror)
    debootstrap --variant=minbase "$1" "$tree" ${mirror:+"$mirror"} >"$work/log" 2>&1 ||
        { tail -n 3 "$work/log"; rm -rf "$work"; return 1; }
    apt_proxy >"$tree/etc/apt/apt.conf.d/90machine"
    # The published slim image leaves these out too.
    rm -rf "$tree"/usr/share/{doc,man,info,locale}/* "$tree"/var/cache/apt/*.bin "$tree"/var/cache/apt/archives/*.deb \
        "$tree"/var/lib/apt/lists/* "$tree"/var/log/*.log
    tar -C "$tree" -cf "$work/tar" .
    mv "$work/tar" "$2"
    rm -rf "$work"
}
