#!/bin/sh
# Send one request of each kind, and stop at the first one that does not get the expected status. While `make run` runs,
# run this in the checkout:
#
#   . var/environment && sh docs/requests.sh
#
# To send a single request by hand, write `curl -i` instead of `expect STATUS`. `omctl sign FILE --curl URL` prints the
# curl line that posts a signed file.
set -eu
url=${1:-http://127.0.0.1:8080}
webhook=$url/webhooks/genesys/openmessaging

expect() {
    expected=$1
    shift
    # curl fails if the edge closes the connection before it has read the whole body, but the status has arrived by then.
    status=$(curl -sS -o /dev/null -w '%{http_code}' "$@") || :
    echo "$status $*"
    [ "$status" = "$expected" ] || { echo "expected $expected" >&2 && exit 1; }
}

# Each event of the guide, and each native body. The events are old, so they have no effect (`too_old`).
for body in tests/payloads/guide/*.json tests/payloads/genesys/*.json; do
    echo "$body"
    omctl sign "$body" --curl "$webhook" | sh | head -n 1 | grep ' 200'
done

expect 200 "$url/health/live"                                            # the process runs
expect 200 "$url/health/ready"                                           # the edge accepts events; otherwise 503
expect 200 "$url/metrics"                                                # for Prometheus
expect 405 "$webhook"                                                    # only POST is allowed
expect 401 "$webhook" -d '{}'                                            # no signature
expect 401 "$webhook" -d '{}' -H 'X-Hub-Signature-256: sha256=AAAA'      # a wrong signature
head -c 2000000 /dev/zero |
    expect 413 "$webhook" --data-binary @- -H 'Expect:'                  # larger than OM_MAX_BODY_BYTES
expect 404 "$url/webhooks/genesys/events" -d '{}'                        # OM_EVENTS_HEADERS is not set
expect 404 "$url/nothing"
echo "every request got the expected answer"
