#!/bin/sh
# Installs the program on a cart with Raspberry Pi OS or Debian: sudo ./install.sh [EXTRA …], e.g. scanner scale gpio.
# May be run again, as for a newer version. WHEEL=FILE installs that instead of the released one.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ "$(id -u)" = 0 ] || { echo "Run it as root: sudo $0 $*" >&2; exit 1; }
for extra in "$@"; do
    case $extra in
        scanner | scale | gpio) ;;
        *) echo "There is no extra $extra; there are scanner, scale, gpio." >&2; exit 1 ;;
    esac
done
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "It needs Python 3.11 or newer." >&2; exit 1; }

apt-get install -y -qq python3-venv >/dev/null
case " $* " in *" scanner "*) apt-get install -y -qq gcc python3-dev >/dev/null ;; esac # evdev is compiled here
case " $* " in *" gpio "*) apt-get install -y -qq python3-lgpio >/dev/null || true ;; esac # what gpiozero drives pins with

id duckycart-cart >/dev/null 2>&1 || useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin duckycart-cart
[ -x /opt/duckycart-cart/bin/python ] || python3 -m venv --system-site-packages /opt/duckycart-cart
extras=$(echo "$*" | tr ' ' ,)
/opt/duckycart-cart/bin/pip install --quiet --upgrade "${WHEEL:-duckycart}${extras:+[$extras]}"

install -d -m 755 -o duckycart-cart /etc/duckycart
if [ ! -e /etc/duckycart/cart.toml ]; then
    install -m 600 -o duckycart-cart "$here/cart.toml.example" /etc/duckycart/cart.toml
    echo "Write the cart's number, the server's address and the parts into /etc/duckycart/cart.toml. Its key:"
    echo "  duckycart carts claim-code 7       # at the server: prints a code"
    echo "  sudo -u duckycart-cart /opt/duckycart-cart/bin/duckycart cart pair CODE --config /etc/duckycart/cart.toml"
fi
groups=""
for group in gpio input dialout; do getent group $group >/dev/null && groups="$groups $group"; done
sed "s/^SupplementaryGroups=.*/SupplementaryGroups=${groups# }/" "$here/duckycart-cart.service" >/etc/systemd/system/duckycart-cart.service
systemctl daemon-reload
echo "Then try it, and start it for good:"
echo "  sudo -u duckycart-cart /opt/duckycart-cart/bin/duckycart cart check --config /etc/duckycart/cart.toml"
echo "  sudo systemctl enable --now duckycart-cart"
