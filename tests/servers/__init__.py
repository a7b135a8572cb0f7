"""Real servers for the tests: private servers that a test may kill, and servers that many tests share."""

from deploy.local.brokers import INSTALL, in_virtual_host
from deploy.local.process import LOOPBACK, ServerProcess, ServerStartError, answers, free_port
from tests.servers.packages import (
    ensure_nginx,
    ensure_postgresql,
    ensure_prometheus,
    ensure_rabbitmq,
    ensure_wrk,
    nginx,
)
from tests.servers.postgresql import PrivatePostgreSQL
from tests.servers.rabbitmq import PrivateRabbitMQ
from tests.servers.shared import (
    Broker,
    PostgreSQL,
    VirtualHost,
    require_chromium,
    require_postgresql,
    require_rabbitmq,
    shared_broker,
    shared_postgresql,
)
