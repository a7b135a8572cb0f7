#!/bin/sh
# Send one request of each kind; the comments state the status that the edge answers. While `make run` runs, run this
# in the checkout:
#
#   . var/environment && sh docs/requests.sh
#
# You can also copy single lines. `omctl sign FILE --curl URL` prints the curl line that posts a signed file.
url=${1:-http://127.0.0.1:8080}
webhook=$url/webhooks/genesys/openmessaging
show='%{http_code} %{url}\n'
ask() { curl -sS -o /dev/null -w "$show" "$@"; }

# 200: each event of the guide, and each native body. The events are old, so they have no effect (`too_old`).
for body in tests/payloads/guide/*.json tests/payloads/genesys/*.json; do
    echo "$body"
    omctl sign "$body" --curl "$webhook" | sh | head -n 1
done

ask "$url/health/live"                                                          # 200: the process runs
ask "$url/health/ready"                                                         # 200: the edge accepts events; otherwise 503
ask "$url/metrics"                                                              # 200: for Prometheus
ask "$webhook"                                                                  # 405: only POST is allowed
ask "$webhook" -d '{}'                                                          # 401: no signature
ask "$webhook" -d '{}' -H 'X-Hub-Signature-256: sha256=AAAA'                    # 401: a wrong signature
head -c 2000000 /dev/zero | ask "$webhook" --data-binary @- -H 'Expect:'        # 413: larger than OM_MAX_BODY_BYTES
ask "$url/webhooks/genesys/events" -d '{}'                                      # 404: OM_EVENTS_HEADERS is not set
ask "$url/nothing"                                                              # 404
