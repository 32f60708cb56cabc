#!/bin/sh
# Installs coremlx: sh install.sh FROM [FOLDER]
# FROM is the executable, an archive of a release (.tar.gz), or its address (https://…); FOLDER is where it goes, by default
# ~/.local/bin. Of an address, FROM.sha256 is fetched too and must agree. The new executable is written beside the old one and
# renamed into its place: macOS ends programs whose signed file is overwritten.
set -eu

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
  echo "Usage: sh install.sh FILE|ADDRESS [FOLDER]" >&2
  exit 2
fi
from=$1
folder=${2:-$HOME/.local/bin}
work=$(mktemp -d)
draft=
trap 'rm -rf "$work"; [ -z "$draft" ] || rm -f "$draft"' EXIT
trap 'exit 130' INT TERM

case "$from" in
  https://*)
    curl --fail --silent --show-error --location --proto '=https' "$from" --output "$work/archive.tar.gz"
    curl --fail --silent --show-error --location --proto '=https' "$from.sha256" --output "$work/sum"
    archive=$work/archive.tar.gz
    ;;
  http://*)
    echo "Cannot install from $from: only https" >&2
    exit 2
    ;;
  *)
    archive=$from
    if [ -f "$from.sha256" ]; then cp "$from.sha256" "$work/sum"; fi
    ;;
esac
if [ ! -f "$archive" ]; then
  echo "Cannot install $from: there is no such file" >&2
  exit 4
fi

if [ -f "$work/sum" ]; then
  expected=$(cut -c 1-64 "$work/sum")
  if command -v sha256sum > /dev/null; then actual=$(sha256sum "$archive"); else actual=$(shasum -a 256 "$archive"); fi
  actual=$(printf %s "$actual" | cut -c 1-64)
  if [ "$expected" != "$actual" ]; then
    echo "Cannot install $from: its SHA-256 is $actual, not $expected" >&2
    exit 4
  fi
fi

case "$archive" in
  *.tar.gz)
    # The one member that is wanted, by its name: nothing else of the archive is written anywhere.
    tar -xzf "$archive" -C "$work" coremlx
    new=$work/coremlx
    ;;
  *) new=$archive ;;
esac
if [ ! -f "$new" ] || [ -L "$new" ]; then
  echo "Cannot install $from: there is no executable in it" >&2
  exit 4
fi

mkdir -p "$folder"
draft=$folder/.coremlx.$$
cp "$new" "$draft"
chmod 755 "$draft"
"$draft" --version > /dev/null || {
  echo "Cannot install $from: it does not start on this machine" >&2
  exit 5
}
mv -f "$draft" "$folder/coremlx"
draft=
echo "installed $folder/coremlx"
case ":$PATH:" in
  *":$folder:"*) ;;
  *) echo "Add $folder to your PATH to run it as coremlx" ;;
esac
