#!/bin/sh
# Show that a newcomer's machine is enough: clone the committed state into a bare Debian and run make there.
#
#   scripts/fresh-clone.sh [--keep] [TARGET | VARIABLE=VALUE...]        (test)
#   scripts/fresh-clone.sh test 'PYTEST_ARGS=-q tests/e2e/demo tests/e2e/kill'
#
# The bare Debian is a debootstrap minbase of this machine's release with python3, git, make and ca-certificates, an
# empty HOME, and no pip, uv, node, curl or compiler. That takes root, about 4 GB in $TMPDIR and a Debian mirror ($MIRROR).
# Where chroot is not allowed, a PATH with nothing but those programs stands in, which is weaker and says so.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
keep=""
if [ "${1:-}" = "--keep" ]; then keep=yes; shift; fi
[ $# -gt 0 ] || set -- test

say() { printf 'fresh-clone: %s\n' "$*"; }

work=$(mktemp -d "${TMPDIR:-/tmp}/evmesh-fresh.XXXXXX")
finish() {
    if [ -n "$keep" ]; then say "kept: $work"; else rm -rf --one-file-system "$work"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

commit=$(git -C "$root" log -1 --format='%h %s')
say "commit $commit"
[ -z "$(git -C "$root" status --porcelain)" ] || say "note: what is not committed is not tried"

# What reaches the registries from here shall reach them from there.
pass_on() {
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY \
        UV_DEFAULT_INDEX UV_INDEX_URL PIP_INDEX_URL CI; do
        eval "value=\${$name-}"
        [ -z "$value" ] || printf '%s=%s\n' "$name" "$value"
    done
}

run_timed() {  # the command that runs make, then the targets
    started=$(date +%s)
    status=0
    "$@" || status=$?
    say "$(( $(date +%s) - started )) s, exit $status"
    return $status
}

may_chroot() { [ "$(id -u)" -eq 0 ] && unshare --mount --pid --fork true 2>/dev/null; }

in_chroot() {
    if ! command -v debootstrap >/dev/null; then
        apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install debootstrap >/dev/null
    fi
    . /etc/os-release
    case $ID in
        ubuntu) mirror=${MIRROR:-http://archive.ubuntu.com/ubuntu} components=main,universe ;;
        *) mirror=${MIRROR:-http://deb.debian.org/debian} components=main ;;
    esac
    bare="$work/root"
    say "debootstrap $VERSION_CODENAME from $mirror"
    debootstrap --variant=minbase --components="$components" --include=python3,git,make,ca-certificates \
        "$VERSION_CODENAME" "$bare" "$mirror" >"$work/debootstrap.log" 2>&1 || { tail "$work/debootstrap.log"; return 1; }

    mkdir -p "$bare/usr/local/share/ca-certificates" "$bare/home/newcomer"
    cp /usr/local/share/ca-certificates/*.crt "$bare/usr/local/share/ca-certificates/" 2>/dev/null || true
    cp -L /etc/resolv.conf /etc/hosts "$bare/etc/"
    git clone --quiet --bare "$root" "$bare/source.git"
    cat >"$work/inside" <<'INSIDE'
set -eu
update-ca-certificates >/dev/null 2>&1
for program in pip pip3 uv node npm curl wget gcc cc; do
    if command -v "$program" >/dev/null; then echo "fresh-clone: $program is here: not a bare machine"; exit 1; fi
done
echo "fresh-clone: $(python3 --version), $(git --version), $(make --version | head -1); no pip, uv, node, curl or compiler"
cd "$HOME"
git clone --quiet /source.git evmesh
cd evmesh
exec make "$@"
INSIDE
    # A mount and process namespace of its own: whatever is left running or mounted goes with it.
    # shellcheck disable=SC2046  # the names and values of pass_on hold no spaces worth keeping
    run_timed unshare --mount --pid --fork sh -c '
        bare=$1; shift
        mount -t proc proc "$bare/proc"
        mount --rbind /dev "$bare/dev"
        mount -t tmpfs tmpfs "$bare/dev/shm"
        exec chroot "$bare" "$@"' sh "$bare" \
        env -i HOME=/home/newcomer PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        LANG=C.UTF-8 $(pass_on) sh -c "$(cat "$work/inside")" sh "$@"
}

on_bare_path() {
    say "no chroot here (not root, or not allowed): a PATH with only python3, git, make and the base tools; this is weaker"
    mkdir -p "$work/bin" "$work/home"
    for program in python3 git make sh env awk basename cat chmod cp cut date dirname find grep head id ln ls mkdir mktemp \
        mv printf pwd readlink rm sed sleep sort tail tee test touch tr true uname wc xargs; do
        found=$(PATH=/usr/bin:/bin command -v "$program") && ln -sf "/usr/bin/$(basename "$found")" "$work/bin/$program"
    done
    git clone --quiet "$root" "$work/evmesh"
    # shellcheck disable=SC2046
    run_timed env -i HOME="$work/home" PATH="$work/bin" LANG=C.UTF-8 TMPDIR="${TMPDIR:-/tmp}" $(pass_on) \
        make -C "$work/evmesh" "$@"
}

if may_chroot; then in_chroot "$@"; else on_bare_path "$@"; fi
