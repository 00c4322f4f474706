#!/bin/sh
# Installs Skipper: a release archive, checked against its checksum, or a file that is here already.
#
#   install.sh --url https://example.org/skipper-x86_64.tar.gz --sha256 HEX
#   install.sh --url https://example.org/skipper-x86_64.tar.gz      the checksum is read from URL.sha256
#   install.sh --file ./skipper.tar.gz --sha256 HEX
#
# Options:
#   --prefix DIR    where bin/skipper goes [/usr/local]
#   --root DIR      put everything below this folder, for tests and images
#   --init          run `skipper init` afterwards; what stands behind `--` is for it
#   --agent         run `skipper init --agent` afterwards: this machine becomes a node of a fleet; SKIPPER_URL, AGENT_ID and
#                   AGENT_TOKEN say of which, and so does what stands behind `--`
#
# The archive holds the program `skipper`; a bare program is taken as well. Nothing is installed that does not match.
set -eu

url=${SKIPPER_DOWNLOAD_URL:-} file="" sum=${SKIPPER_SHA256:-} prefix=/usr/local root="" init=no agent=

fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

value() {
    [ "$#" -ge 2 ] || fail "$1 needs a value"
    printf '%s' "$2"
}

while [ "$#" -gt 0 ]; do
    case $1 in
    --url) url=$(value "$@") || exit 1; shift ;;
    --file) file=$(value "$@") || exit 1; shift ;;
    --sha256) sum=$(value "$@") || exit 1; shift ;;
    --prefix) prefix=$(value "$@") || exit 1; shift ;;
    --root) root=$(value "$@") || exit 1; shift ;;
    --init) init=yes ;;
    --agent) init=yes agent=--agent ;;
    --) shift && break ;;
    -h | --help)
        sed -n '2,/^set -eu/{/^set -eu/d;s/^# \{0,1\}//;p;}' "$0"
        exit 0
        ;;
    *) fail "there is no option $1; --help lists them" ;;
    esac
    shift
done

[ -n "$url$file" ] || fail "name an archive with --url or --file"
[ -z "$url" ] || [ -z "$file" ] || fail "--url and --file exclude one another"
if [ -z "$root" ] && [ "$(id -u)" -ne 0 ] && [ ! -w "$prefix/bin" ]; then
    fail "$prefix/bin cannot be written: run it with sudo, or name another --prefix"
fi

work=$(mktemp -d) || fail "no temporary folder can be made"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# download URL FILE: over TLS alone, unless it comes from this machine.
download() {
    case $1 in
    https://*) proto='=https' ;;
    http://127.0.0.1[:/]* | http://localhost[:/]*) proto='=http' ;;
    *) fail "$1 is not https: whoever is in between could change it" ;;
    esac
    if command -v curl >/dev/null 2>&1; then
        curl --fail --silent --show-error --location --proto "$proto" --proto-redir "$proto" \
            --connect-timeout 10 --max-time 600 --max-filesize 500000000 --output "$2" "$1" || fail "$1 cannot be fetched"
    elif command -v wget >/dev/null 2>&1; then
        wget --quiet --timeout=30 --tries=3 --output-document="$2" "$1" || fail "$1 cannot be fetched"
    else
        fail "neither curl nor wget is here"
    fi
}

if [ -n "$url" ]; then
    download "$url" "$work/archive"
    if [ -z "$sum" ]; then
        download "$url.sha256" "$work/sum"
        sum=$(head -c 1000 "$work/sum" | cut -d' ' -f1 | head -n 1)
    fi
else
    [ -f "$file" ] || fail "$file is not there"
    cp -- "$file" "$work/archive"
fi

case $sum in
*[!0-9a-fA-F]* | '') fail "give the checksum with --sha256: 64 hexadecimal digits" ;;
esac
[ "${#sum}" -eq 64 ] || fail "a checksum has 64 hexadecimal digits, this one ${#sum}"
sum=$(printf '%s' "$sum" | tr 'A-F' 'a-f')

if command -v sha256sum >/dev/null 2>&1; then
    got=$(sha256sum <"$work/archive" | cut -d' ' -f1)
elif command -v shasum >/dev/null 2>&1; then
    got=$(shasum -a 256 <"$work/archive" | cut -d' ' -f1)
else
    got=$(openssl dgst -sha256 -r <"$work/archive" | cut -d' ' -f1) || fail "no tool is here that computes SHA-256"
fi
[ "$got" = "$sum" ] || fail "the checksum does not match: it is $got, and should be $sum. Nothing was installed"

program=$work/archive
if tar -tzf "$work/archive" >"$work/list" 2>/dev/null; then
    member=$(grep -E '^(\./)?([^/]+/)?skipper$' "$work/list" | head -n 1) || fail "the archive holds no program skipper"
    # Out of the archive comes that one file, and its bytes alone.
    tar -xzOf "$work/archive" -- "$member" >"$work/skipper" || fail "the archive cannot be unpacked"
    program=$work/skipper
fi
chmod 755 "$program"
version=$("$program" --version 2>/dev/null) || fail "the program does not run on this machine ($(uname -sm))"

bin=$root$prefix/bin
mkdir -p -- "$bin"
# In one move, so that a running program is replaced and never half written.
cp -- "$program" "$bin/.skipper.new"
chmod 755 "$bin/.skipper.new"
mv -f -- "$bin/.skipper.new" "$bin/skipper"
for name in slip slipd; do
    # A slip that is there is not ours to replace.
    if [ ! -e "$bin/$name" ] && [ ! -L "$bin/$name" ]; then
        ln -s skipper "$bin/$name"
    fi
done
printf '%s is installed in %s\n' "$version" "$bin"

if [ "$init" = yes ]; then
    if [ -n "$root" ]; then
        exec "$bin/skipper" init ${agent:+"$agent"} --root "$root" "$@"
    fi
    exec "$bin/skipper" init ${agent:+"$agent"} "$@"
fi
printf 'next: sudo %s/bin/skipper init\n' "$prefix"
