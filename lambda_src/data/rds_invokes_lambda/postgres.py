"""PostgreSQL: the connection, the tables, the trigger that invokes a function, and the outbox.

The function's user may insert orders and run ``deliver_outbox``, and not call ``aws_lambda.invoke``: the
trigger and ``deliver_outbox`` run with the rights of the owner (``SECURITY DEFINER``).

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/PostgreSQL-Lambda.html
"""

from psycopg.sql import SQL, Identifier, Literal

from shared import postgres_migration
from shared.login import Login
from shared.postgres import Connection, diagnose, errors, is_open, open_connection

__all__ = ["connect", "diagnose", "errors", "is_open", "migrate"]

# Items are checked when a transaction commits: after the trigger, as any later failure would be.
_STEPS = (
    """
CREATE EXTENSION IF NOT EXISTS aws_lambda CASCADE;
CREATE TABLE items (name text PRIMARY KEY);
INSERT INTO items (name) VALUES ('book'), ('pen');
CREATE TABLE orders (
    order_id text PRIMARY KEY,
    item text NOT NULL REFERENCES items DEFERRABLE INITIALLY DEFERRED,
    notify text NOT NULL CHECK (notify IN ('RequestResponse', 'Event', 'outbox'))
);
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payload jsonb NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    error text
)""",
)

_TRIGGER = """
CREATE OR REPLACE FUNCTION notify_of_order() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.notify = 'outbox' THEN
        INSERT INTO outbox (payload) VALUES (to_jsonb(NEW));
    ELSE
        PERFORM aws_lambda.invoke({receiver}, to_jsonb(NEW), invocation_type => NEW.notify);
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER notify_of_order AFTER INSERT ON orders
FOR EACH ROW EXECUTE FUNCTION notify_of_order()"""

# A message that fails stays, and others go first. Two that run at once take different messages. After five
# seconds no further message is begun, so that the transaction ends before its timeout.
_DELIVER = """
CREATE OR REPLACE FUNCTION deliver_outbox(most integer, OUT delivered integer, OUT failed integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    message record;
BEGIN
    delivered := 0;
    failed := 0;
    FOR message IN
        SELECT id, payload FROM outbox ORDER BY attempts, id LIMIT most FOR UPDATE SKIP LOCKED
    LOOP
        BEGIN
            PERFORM aws_lambda.invoke({receiver}, message.payload);
            DELETE FROM outbox WHERE id = message.id;
            delivered := delivered + 1;
        EXCEPTION WHEN OTHERS THEN
            UPDATE outbox SET attempts = attempts + 1, error = SQLERRM WHERE id = message.id;
            failed := failed + 1;
        END;
        EXIT WHEN clock_timestamp() > statement_timestamp() + interval '5 seconds';
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION deliver_outbox FROM PUBLIC;
GRANT EXECUTE ON FUNCTION deliver_outbox TO {user}"""


def connect(login: Login, token: str) -> Connection:
    """Open a connection over TLS, and only to a server whose certificate is for the host."""
    return open_connection(login, token, name="rds-invokes-lambda")


def migrate(connection: Connection, *, user: str, receiver: str) -> None:
    """Bring tables, functions and rights up to date. Safe to repeat.

    Args:
        connection: A connection of the database's owner.
        user: The user of the function that inserts orders.
        receiver: The ARN of the function that the SQL invokes.
    """
    rights = {"orders": "SELECT, INSERT"}
    postgres_migration.migrate(connection, _STEPS, user=user, rights=rights)
    with connection.transaction():
        for statements in (_TRIGGER, _DELIVER):
            connection.execute(SQL(statements).format(receiver=Literal(receiver), user=Identifier(user)))
