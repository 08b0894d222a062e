"""Bring a database to this release's schema, by Alembic's migrations."""

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from evmesh.domain.errors import Refused


def upgrade(connection: Connection) -> None:
    """Run what is missing; raises Refused `store.newer_release` where there is more than is known here."""
    config = Config()
    config.set_main_option("script_location", "evmesh.store:migrations")
    config.attributes["connection"] = connection
    _check_release(connection, ScriptDirectory.from_config(config))
    command.upgrade(config, "head")


def _check_release(connection: Connection, scripts: ScriptDirectory) -> None:
    for revision in MigrationContext.configure(connection).get_current_heads():
        try:
            scripts.get_revision(revision)
        except CommandError as error:
            raise Refused(
                "store.newer_release",
                f"the data directory was written by a newer evmesh (its schema is {revision})",
                do="run that release or a later one, or name another directory with --data",
            ) from error
