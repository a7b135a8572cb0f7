#!/bin/sh
# Run this host's omctl with the credentials of the owner of tables and queues. Written by omctl install.
set -eu
# omctl itself reads this file, as the units do: a shell would interpret some settings differently.
export OM_SETTINGS_FILE="${OM_SETTINGS_FILE:-/etc/open-messaging/environment}"
# Set nothing more for these commands: an installation would give the owner's credentials to the edge and the workers.
case "${1:-}" in install | uninstall) exec @PREFIX@/bin/omctl "$@" ;; esac
# om-api.socket, and so the edge, listens on this address, whatever the edge's own settings are.
export OM_BIND="${OM_BIND:-@BIND@}"
export OM_WEBHOOK_SECRETS_FILE="${OM_WEBHOOK_SECRETS_FILE:-/etc/open-messaging/credentials/OM_WEBHOOK_SECRETS}"
# Trust the certificate authorities that this host trusts, including the cluster's own.
export REQUESTS_CA_BUNDLE="${REQUESTS_CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}"
export OM_REQUIRED_HEADERS_FILE="${OM_REQUIRED_HEADERS_FILE:-/etc/open-messaging/credentials/OM_REQUIRED_HEADERS}"
export OM_EVENTS_HEADERS_FILE="${OM_EVENTS_HEADERS_FILE:-/etc/open-messaging/credentials/OM_EVENTS_HEADERS}"
export OM_GENESYS_CLIENT_SECRET_FILE="${OM_GENESYS_CLIENT_SECRET_FILE:-/etc/open-messaging/credentials/OM_GENESYS_CLIENT_SECRET}"
export CREDENTIALS_DIRECTORY="${CREDENTIALS_DIRECTORY:-/etc/open-messaging/credentials/owner}"
# Use the same destinations as om-deliver. A secret_file without a directory is one of the owner's credentials here.
if [ -e /etc/open-messaging/destinations.toml ]; then export OM_DESTINATIONS="${OM_DESTINATIONS:-/etc/open-messaging/destinations.toml}"; fi
exec @PREFIX@/bin/omctl "$@"
