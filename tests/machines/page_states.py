"""List where the pages' shell blocks run, which commands precede them, and why some blocks do not run."""

from typing import Final

CERTBOT: Final = "apt-get install certbot"
REHEARSAL: Final = "certbot renew --dry-run"

NOT_RUN: Final = {
    "make run     #": "README's two commands: the tutorial runs the first, and the second runs before it",
    "make test     #": "README's commands for developers take hours; `make evidence` lists their last runs",
    "make chaos   ": "takes half an hour each time; `make evidence` lists the last run",
    "make bench   ": "takes an hour on an idle machine; docs/performance.md has the last run",
    "docker/prepare": "Docker's images come from a registry; `make test-compose` runs it with stand-ins",
    "docker compose -f docker/compose.yaml run": "the same, and asks Genesys Cloud for its addresses",
    CERTBOT: "Let's Encrypt cannot reach these machines; `make test-systemd` runs it with an ACME server",
    REHEARSAL: "the same",
}
"""The beginnings of blocks that cannot run on bare machines or take hours, each with the reason."""

HOSTS: Final = {
    'make install-vm INSTALL="--cluster': ("om-1",),
    "ssh om-1 tar -C / -cz etc/open-messaging opt": ("om-2", "om-3"),
    "rabbitmqctl cluster_status": ("om-1", "om-2", "om-3"),
    "ssh -fN -L 8082:127.0.0.1:8080": ("om-1",),
    "sed -i '/^# Open Messaging Ingest:/i hostssl": ("om-1",),
    "echo 'add element inet open_messaging cluster4": ("om-1", "om-2", "om-3"),
    "apt-get install ca-certificates python3": ("om-4",),
    "export OM_AMQP_URL=amqps://… OM_MANAGEMENT_URL=https://… OM_WEBHOOK_SECRETS": ("om-4",),
    "export OM_AMQP_URL=amqps://… OM_MANAGEMENT_URL=https://… OM_DATABASE_URL": ("om-4",),
    "omctl uninstall --dry-run": ("om-4", "om-3"),
    "$(ls -d /opt/open-messaging": ("om-4", "om-3"),
    "systemctl stop om-scaler om-workers.target\n": ("om-2",),
    "sed -i -E 's#,[^,]*@om-3:": ("om-1",),
    "ssh om-1 tar -C / -cz etc/open-messaging/credentials": ("om-2",),
}
"""For each block about a cluster, the hosts on which the block runs, in the order in which blocks run.

Each block is identified by its beginning. All other blocks run on one VM.
"""

WEBHOOK: Final = "http://127.0.0.1:8080/webhooks/genesys/openmessaging"
PLATFORM: Final = """\
cp /etc/open-messaging/tls/certificate.pem /usr/local/share/ca-certificates/hooks.crt
update-ca-certificates
sed '/^.webhook.$/,$d; s/api.yourdomain/hooks.example/' deploy/registration.example.toml \\
    >/etc/open-messaging/registration.toml
cd /etc/open-messaging
printf 'OM_%s\\n' REGISTRATION=$PWD/registration.toml GENESYS_API_URL=http://127.0.0.1:8099 \\
    GENESYS_CLIENT_ID=simulated CANARY_URL=https://hooks.example.com/webhooks/genesys/openmessaging \\
    >>environment
systemctl restart om-observe
echo simulated >/etc/open-messaging/credentials/OM_GENESYS_CLIENT_SECRET
(setsid omctl simulate --platform --port 8099 >/tmp/platform 2>&1 </dev/null &)
until ss -Hltn 'sport = :8099' | grep -q .; do sleep 1; done"""
"""Runs the simulator in place of the organisation in docs/install.md, and enables the canary."""

RECEIVER: Final = """\
cd /usr/local/share/ca-certificates
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=crm.example -keyout /etc/ssl/crm.key \\
    -addext subjectAltName=DNS:crm.example -out crm.crt
update-ca-certificates
echo 'server { listen 443 ssl; server_name crm.example; location / { return 204; }
    ssl_certificate /etc/ssl/certs/crm.pem; ssl_certificate_key /etc/ssl/crm.key; }' \\
    >/etc/nginx/conf.d/zz-crm.conf
systemctl reload nginx"""

HANDLER: Final = f"""\
cd $(dirname $(sed -n 's/^exec //p' /usr/local/sbin/omctl | cut -d' ' -f1))/../lib/python3*/site-packages
mkdir broken-1.dist-info && printf 'Name: broken\\nVersion: 1\\n' >broken-1.dist-info/METADATA
echo '[open_messaging.handlers]
openmessaging:conversation:new = broken:handle' >broken-1.dist-info/entry_points.txt
echo 'from workers.handlers import RejectedEventError
def handle(*_): raise RejectedEventError("handler_failed", "broken")' >broken.py
systemctl restart om-worker@1 && sleep 10
omctl simulate {WEBHOOK} --events 100 --conversations 15 && sleep 10
rm -r broken* && systemctl restart om-worker@1"""
"""Installs a handler that fails on more than ten events, and then removes it."""

CUSTOMER: Final = f"""\
sed "s/did:plc:[0-9a-z]*/ID/; s/2025-06-10/$(date -ud yesterday +%F)/" \\
    tests/payloads/genesys/text.json >/tmp/body
omctl sign /tmp/body --curl {WEBHOOK} | sh && sleep 10"""

REPLAYED: Final = """\
runuser -u postgres -- psql open_messaging -AtF ' ' >/tmp/newest <<'SQL'
SELECT conversation_id, to_char(moment, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    to_char(moment + interval '1 ms', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
FROM (SELECT *, date_trunc('milliseconds', received_at AT TIME ZONE 'UTC') AS moment FROM processed_events
    WHERE source = 'webhook') received ORDER BY id DESC LIMIT 1
SQL
read -r conversation since before </tmp/newest"""
"""Finds the newest event, and the millisecond in which the edge received it."""

OWN_SERVERS: Final = """\
omctl uninstall --purge --yes
for name in owner/OM_AMQP_URL owner/OM_MANAGEMENT_URL owner/OM_DATABASE_URL OM_WEBHOOK_SECRETS; do
    scp om-1:/etc/open-messaging/credentials/$name /root
done"""

STATES: Final = {
    "apt-get install python3-venv": "make wheel && cd dist",
    "python3 -m venv /opt/open-messaging/2": "cd dist",
    'omctl smoke --integration "Smoke test"    #': PLATFORM,
    "cat >> /etc/open-messaging/destinations.toml": RECEIVER,
    "omctl dead-letters replay": HANDLER,
    "omctl sign NAME.body": "cp tests/payloads/guide/conversation-new.json NAME.body",
    "omctl sign event.json": "cp tests/payloads/guide/conversation-new.json event.json",
    "omctl explain-signature": "cp tests/payloads/guide/conversation-new.json body.json",
    "omctl find --customer ID": CUSTOMER,
    "systemctl stop om-scaler om-workers.target om-observe": "moment=$(date -u '+%F %T+00'); sleep 20",
    "omctl replay --conversation ID --since": REPLAYED,
    "redis-cli": "apt-get install redis && redis-cli set guide-1:2026-01-05T08:00:00.000Z 1",
    "ssh -fN -L 8082:127.0.0.1:8080": f"{PLATFORM}\nomctl register",
    "echo 'add element inet open_messaging cluster4": "omctl install --firewall",
    "apt-get install ca-certificates python3": "scp om-1:/usr/local/share/ca-certificates/hooks.crt"
    " /usr/local/share/ca-certificates",
    "export OM_AMQP_URL": OWN_SERVERS,
}
"""For a block's beginning, the commands to run before the block, which its page describes only in words."""

VALUES: Final = {
    "amqps://…": "$(cat /root/OM_AMQP_URL)",
    "https://… OM_": "$(cat /root/OM_MANAGEMENT_URL) OM_",
    "OM_WEBHOOK_SECRETS=…": "OM_WEBHOOK_SECRETS=$(cat /root/OM_WEBHOOK_SECRETS)",
    "postgresql+psycopg://…": "$(cat /root/OM_DATABASE_URL)",
    "/opt/open-messaging/OLDER/": "/opt/open-messaging/$(ls /opt/open-messaging | head -n 1)/",
    "recovery_target_time = '2026-01-05 08:00:00+00'": "recovery_target_time = '$moment'",
    "ID --since 2026-01-05T08:00:00.123Z --until 2026-01-05T08:00:00.124Z": "$conversation --since $since"
    " --until $before",
    # A tenth of the events shows whether the commands work, and leaves no backlog for the next blocks.
    "--events 20000": "--events 2000",
    "192.0.2.14": "10.83.50.14",
}
"""For each text that a page's reader must replace in a block, the replacement on these machines."""

AS_READER: Final = """\
echo 'APT::Get::Assume-Yes true;' >/etc/apt/apt.conf.d/90reader
cp /etc/ssl/certs/ca-certificates.crt /root/pip.crt && echo export PIP_CERT=/root/pip.crt >/tmp/session
echo 10.83.50.11 hooks.example.com crm.example >>/etc/hosts
git config --global user.name reader && git config --global user.email reader@example.com
git init -qb main && git add -A && git commit -qm release && git clone -q --bare . /srv/origin.git
git remote add origin /srv/origin.git && git fetch -q && git branch -qu origin/main
apt-get update && apt-get install --no-install-recommends curl openssh-server
printf 'Permit%s yes\\n' RootLogin EmptyPasswords >/etc/ssh/sshd_config.d/reader.conf && passwd -d root
echo 'StrictHostKeyChecking accept-new' >/etc/ssh/ssh_config.d/reader.conf && systemctl restart ssh"""
"""Prepares a host: apt asks no questions, curl and a git clone exist, and ssh reaches the other hosts."""
