from __future__ import annotations

import pytest
from django.db.migrations.recorder import MigrationRecorder

from backends.migrating import migrate_if_needed
from backends.services import ServiceError

pytestmark = pytest.mark.django_db(databases=["default", "history"])


def test_databases_that_are_up_to_date_are_left_alone() -> None:
    assert migrate_if_needed() is False


def test_a_database_of_a_newer_version_is_refused() -> None:
    MigrationRecorder.Migration.objects.create(app="backends", name="9999_from_the_future")
    with pytest.raises(ServiceError, match=r"newer Patchbay \(backends\.9999_from_the_future\)"):
        migrate_if_needed()
