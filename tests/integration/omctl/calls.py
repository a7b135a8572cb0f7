"""One call of each command, and the files that the calls name."""

CHECK = "check"

BROKER, DATABASE, PLATFORM = "broker", "database", "platform"
BOTH = {BROKER, DATABASE}
# Commands that use the request budget need the database, which contains the budget.
BUDGETED = {PLATFORM, DATABASE}
CALLS = {
    "setup --dry-run": {BROKER},
    "migrate --dry-run": {DATABASE},
    "register --dry-run": BUDGETED,
    "smoke --integration Smoke --dry-run": BUDGETED,
    "import-keys keys": {DATABASE},
    "rotate-secret --file secret --edge {edge} --dry-run": BUDGETED,
    "ipranges --region all": BUDGETED,
    CHECK: BOTH,
    "find m": {DATABASE},
    "stats": BUDGETED,
    "drift list": {DATABASE},
    "drift accept x --dry-run": {DATABASE},
    "dead-letters list": {DATABASE},
    "dead-letters show m": {DATABASE},
    "dead-letters replay --dry-run": BOTH,
    "dead-letters discard --dry-run": BOTH,
    "replay --since 1h --dry-run": {DATABASE},
    "reconcile --since 1h --dry-run": BUDGETED | BOTH,
    "ingest event.json": {BROKER},
    "destinations list": {DATABASE},
    "destinations pause crm --dry-run": {DATABASE},
    "destinations resume crm --dry-run": {DATABASE},
    "destinations resend --dry-run": {DATABASE},
    "destinations remove crm --dry-run": {DATABASE},
    "destinations backfill crm --since 1h --dry-run": {DATABASE},
    "destinations abandon crm --dry-run": {DATABASE},
    "erase --conversation c --dry-run": BOTH,
    "retain --dry-run": {DATABASE},
}
"""One call of each command, with the servers that the command connects to."""

ALONE = {
    "install --dry-run": "it changes this host",
    "uninstall --dry-run": "it changes this host",
    "sign event.json": "it asks no server",
    "explain-signature event.json --header x": "it asks no server",
    "filter check true": "it asks no server",
    "filter test true": "it asks no server",
    "simulate ftp://nowhere": "it asks a webhook, in tests of its own",
    "destinations test crm": "it asks a destination, in tests of its own",
    "check --settings": "it asks no server",
    "ipranges --from addresses": "it asks no server",
}
"""Calls that connect to none of the servers, each with the reason."""


def write_files(directory, secret):
    """Write the files that the calls and their settings name."""
    (directory / "event.json").write_text(
        '{"eventType":"openmessaging:conversation:new","conversationId":"c","timestamp":"2024-05-15T14:32:10Z"}'
    )
    (directory / "destinations.toml").write_text(
        '[destinations.crm]\nurl = "https://crm.example/"\nsecret = "whsec_c2VjcmV0"\n'
        'events = ["openmessaging:receipt"]\n'
    )
    (directory / "registration.toml").write_text(
        'url = "https://api.example/"\n[integration]\nname = "Ingest"\n[webhook]\nname = "Custom"\n'
    )
    (directory / "addresses").write_text("192.0.2.0/24\n")
    (directory / "keys").write_text("c:2024-05-15T14:32:10Z\n")
    (directory / "secret").write_text(secret)
