"""Bring Superset's own database up to date and import the dashboard, in one process of Superset's environment.

`python superset_setup.py FOLDER`, the folder holding the files of `bi/superset/`; the administrator's password
comes in QIANMIAN_BI_PASSWORD. Superset's commands (`superset db upgrade`, `init`, `fab create-admin`) would do the
same in as many starts of 10 seconds each; importing as a set that is kept in files has no command.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from flask_migrate import upgrade
from superset.app import create_app

ADMIN = "admin"


def main(folder: Path) -> None:
    """Do it all; Superset's own words say what failed."""
    app = create_app()
    with app.app_context():
        # These look at the running application when they are imported.
        from superset.commands.importers.v1.assets import ImportAssetsCommand
        from superset.extensions import appbuilder, security_manager
        from superset.utils.core import override_user

        upgrade(os.path.join(os.path.dirname(sys.modules["superset"].__file__ or ""), "migrations"))
        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
        password = os.environ["QIANMIAN_BI_PASSWORD"]
        admin = security_manager.find_user(ADMIN)
        if admin is None:
            role = security_manager.find_role("Admin")
            admin = security_manager.add_user(ADMIN, "Qianmian", "", "admin@localhost", role, password)
        else:
            security_manager.reset_password(admin.id, password)
        contents = {str(file.relative_to(folder)): file.read_text() for file in sorted(folder.rglob("*.yaml"))}
        with override_user(admin):
            ImportAssetsCommand(contents).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
