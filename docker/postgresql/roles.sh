#!/bin/sh
# Runs once, in a new database. Creates three roles: the owner of the tables, the service, which may only read and write
# rows, and a reader, to which `omctl migrate` grants everything except bodies and texts.
set -eu
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username=postgres --dbname=postgres \
    --set=owner_password="$(cat /run/secrets/postgresql_owner)" \
    --set=reader_password="$(cat /run/secrets/postgresql_reader)" \
    --set=service_password="$(cat /run/secrets/postgresql_service)" <<'SQL'
CREATE ROLE open_messaging_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE open_messaging LOGIN PASSWORD :'service_password';
CREATE ROLE open_messaging_reader LOGIN PASSWORD :'reader_password';
CREATE DATABASE open_messaging OWNER open_messaging_owner;
\connect open_messaging
REVOKE ALL ON DATABASE open_messaging FROM PUBLIC;
GRANT CONNECT ON DATABASE open_messaging TO open_messaging;
GRANT USAGE, CREATE ON SCHEMA public TO open_messaging_owner;
GRANT USAGE ON SCHEMA public TO open_messaging;
ALTER DEFAULT PRIVILEGES FOR ROLE open_messaging_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO open_messaging;
ALTER DEFAULT PRIVILEGES FOR ROLE open_messaging_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO open_messaging;
SQL
