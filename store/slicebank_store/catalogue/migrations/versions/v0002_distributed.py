"""Jobs tell the request that made them and how much there is to do.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns; rows written before have none of it."""
    op.add_column("jobs", sa.Column("request_id", sa.String(length=128)))
    op.add_column("jobs", sa.Column("size", sa.Integer()))


def downgrade() -> None:
    """Removes them."""
    op.drop_column("jobs", "size")
    op.drop_column("jobs", "request_id")
