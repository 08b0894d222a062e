#!/bin/sh
# Install what the tests want from Debian or Ubuntu and what no Python or npm package brings: a broker, a database
# server and a browser.
#
# Does nothing when all of it is there. Needs root or passwordless sudo; without them it says what is left out and
# ends well, since the tests that need it then skip (in CI, where nothing may be skipped, they fail).
set -eu

# Debian keeps mosquitto in /usr/sbin, which an ordinary user's PATH lacks.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

say() { printf 'packages: %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }

missing=""
lost=""
want() {  # package, what is lost without it, then the names of programs any of which will do
    package=$1 reason=$2
    shift 2
    for program in "$@"; do
        if have "$program"; then return; fi
    done
    missing="$missing $package"
    lost="$lost
packages:   $package: $reason"
}

want mosquitto "the telemetry tests run on the npm broker only" mosquitto
# A server, and not only the client: Debian keeps it in a folder of its version.
if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
    want postgresql "the tests of the time series run on SQLite only" initdb
fi
want chromium "the browser tests are left out" chromium chromium-browser google-chrome

if [ -z "$missing" ]; then exit 0; fi

leave_out() {
    say "not installed:$missing ($1)$lost"
    exit 0
}

have apt-get || leave_out "no apt-get on this machine; install them yourself"
if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif have sudo && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    leave_out "this needs root: sudo apt-get install$missing"
fi

# Debian starts a service as soon as it is installed. The tests start brokers of their own, and a developer's port 1883
# is none of our business: policy-rc.d says no for the length of the installation, and the unit stays disabled.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '$as_root rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 0755 "$policy"
fi

say "installing$missing"
apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o APT::Install-Recommends=false"
$apt update || say "the package lists could not be refreshed; trying with those at hand"
for package in $missing; do
    # One by one: on Ubuntu, Chromium is a snap and has no package worth having, and Mosquitto shall come all the same.
    $apt install "$package" || say "could not install $package$lost"
done
case $missing in
    *mosquitto*) if have systemctl; then $as_root systemctl disable mosquitto >/dev/null 2>&1 || true; fi ;;
esac
case $missing in
    *postgresql*) if have systemctl; then $as_root systemctl disable postgresql >/dev/null 2>&1 || true; fi ;;
esac
