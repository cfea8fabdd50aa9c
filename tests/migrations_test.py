"""Migrations as frameworks write them, fed through `cairn shell` and `cairn load`."""
import subprocess

import harness
from harness import CairnTest, run_cairn

BASE = '''
CREATE TABLE "authors" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "name" varchar);
CREATE TABLE "posts" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "title" varchar, "author_id" integer,
  CONSTRAINT "fk_rails_1" FOREIGN KEY ("author_id") REFERENCES "authors" ("id") ON DELETE CASCADE);
CREATE INDEX "index_posts_on_author_id" ON "posts" ("author_id");
CREATE TABLE "comments" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "post_id" integer,
  CONSTRAINT "fk_rails_2" FOREIGN KEY ("post_id") REFERENCES "posts" ("id") ON DELETE CASCADE);
INSERT INTO "authors" VALUES (1, 'Ann'), (2, 'Bob');
INSERT INTO "posts" VALUES (1, 'one', 1), (2, NULL, 2), (7, 'seven', 1);
INSERT INTO "comments" VALUES (1, 1), (2, 7), (3, 7);
'''
# change_column_null :posts, :title, false
RAILS = '''PRAGMA foreign_keys;
PRAGMA defer_foreign_keys;
PRAGMA defer_foreign_keys = ON;
PRAGMA foreign_keys = OFF;
begin transaction;
UPDATE "posts" SET "title"='' WHERE "title" IS NULL;
CREATE TEMPORARY TABLE "aposts" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "title" varchar DEFAULT NULL, "author_id" integer DEFAULT NULL);
CREATE  INDEX "tindex_aposts_on_author_id" ON "aposts" ("author_id");
INSERT INTO "aposts" ("id","title","author_id")
                     SELECT "id","title","author_id" FROM "posts";
DROP TABLE "posts";
CREATE TABLE "posts" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "title" varchar DEFAULT NULL NOT NULL, "author_id" integer DEFAULT NULL, CONSTRAINT "fk_rails_1"
FOREIGN KEY ("author_id")
  REFERENCES "authors" ("id")
 ON DELETE CASCADE);
CREATE  INDEX "index_posts_on_author_id" ON "posts" ("author_id");
INSERT INTO "posts" ("id","title","author_id")
                     SELECT "id","title","author_id" FROM "aposts";
DROP TABLE "aposts";
commit transaction;
PRAGMA defer_foreign_keys = 0;
PRAGMA foreign_keys = 1;
'''
PRISMA = '''-- RedefineTables
PRAGMA defer_foreign_keys=ON;
PRAGMA foreign_keys=OFF;
CREATE TABLE "new_posts" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "title" TEXT NOT NULL DEFAULT '',
    "author_id" INTEGER,
    CONSTRAINT "posts_author_id_fkey" FOREIGN KEY ("author_id") REFERENCES "authors" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
INSERT INTO "new_posts" ("author_id", "id", "title") SELECT "author_id", "id", coalesce("title", '') AS "title" FROM "posts";
DROP TABLE "posts";
ALTER TABLE "new_posts" RENAME TO "posts";
CREATE INDEX "posts_author_id_idx" ON "posts"("author_id");
PRAGMA foreign_keys=ON;
PRAGMA defer_foreign_keys=OFF;
'''
DRIZZLE = '''PRAGMA foreign_keys=OFF;--> statement-breakpoint
CREATE TABLE `__new_posts` (
\t`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
\t`title` text DEFAULT '' NOT NULL,
\t`author_id` integer,
\tFOREIGN KEY (`author_id`) REFERENCES `authors`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
INSERT INTO `__new_posts`("id", "title", "author_id") SELECT "id", coalesce("title", ''), "author_id" FROM `posts`;--> statement-breakpoint
DROP TABLE `posts`;--> statement-breakpoint
ALTER TABLE `__new_posts` RENAME TO `posts`;--> statement-breakpoint
PRAGMA foreign_keys=ON;
'''
# sqlmigrate prints BEGIN ... COMMIT; Django turns foreign keys off before.
DJANGO = '''PRAGMA foreign_keys = OFF;
BEGIN;
--
-- Alter field title on posts
--
CREATE TABLE "new__posts" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "author_id" integer NULL REFERENCES "authors" ("id") ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, "title" varchar(100) NOT NULL);
INSERT INTO "new__posts" ("id", "author_id", "title") SELECT "id", "author_id", coalesce("title", '') FROM "posts";
DROP TABLE "posts";
ALTER TABLE "new__posts" RENAME TO "posts";
CREATE INDEX "posts_author_id_8a5b" ON "posts" ("author_id");
COMMIT;
PRAGMA foreign_key_check;
PRAGMA foreign_keys = ON;
'''
ALEMBIC = '''PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;

-- Running upgrade 1975ea83b712 -> ae1027a6acf

CREATE TABLE _alembic_tmp_posts (
    id INTEGER NOT NULL, 
    title VARCHAR DEFAULT '' NOT NULL, 
    author_id INTEGER, 
    PRIMARY KEY (id), 
    FOREIGN KEY(author_id) REFERENCES authors (id) ON DELETE CASCADE
);

INSERT INTO _alembic_tmp_posts (id, title, author_id) SELECT posts.id, coalesce(posts.title, '') AS title, posts.author_id 
FROM posts;

DROP TABLE posts;

ALTER TABLE _alembic_tmp_posts RENAME TO posts;

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

INSERT INTO alembic_version (version_num) VALUES ('ae1027a6acf');

COMMIT;
'''
MIGRATIONS = {"Rails": RAILS, "Prisma": PRISMA, "Drizzle": DRIZZLE, "Django": DJANGO, "Alembic": ALEMBIC}
QUERIES = ("SELECT id, title, author_id FROM posts ORDER BY id", "SELECT id, post_id FROM comments ORDER BY id",
           "SELECT * FROM pragma_foreign_key_check",
           "SELECT \"notnull\" FROM pragma_table_info('posts') WHERE name = 'title'",
           "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' AND name NOT LIKE '\\_cairn%' "
           "ESCAPE '\\' ORDER BY name")


class Migrations(CairnTest):
    def setUp(self):
        super().setUp()
        self.node = self.new_cluster(1)[0]

    def shell(self, text):
        return run_cairn("shell", self.node.address, stdin=text)

    def clear(self):
        for table in ("comments", "posts", "authors", "alembic_version"):
            self.node.sql(f"DROP TABLE IF EXISTS {table}")

    def expect_as_in_sqlite(self, script, name):
        path = self.directory / f"{name}.db"
        subprocess.run(["sqlite3", "-bail", path], input=script, text=True, check=True, capture_output=True)
        for query in QUERIES:
            expected = subprocess.run(["sqlite3", path, query], text=True, capture_output=True, check=True).stdout
            self.assertEqual(self.node.shell(query, mode="list").stdout, expected, query)
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM comments"), [{"n": 3}])

    def test_each_keeps_the_rows_that_refer_to_the_table(self):
        for name, script in MIGRATIONS.items():
            with self.subTest(name):
                self.clear()
                self.assert_passes(self.shell(BASE))
                before = self.node.commit()
                self.assert_passes(self.shell(script))
                self.assertEqual(self.node.commit(), before + 1, "it is one command")
                self.expect_as_in_sqlite(BASE + script, name)
                self.node.sql("DELETE FROM posts WHERE id = 1")  # the foreign key acts
                self.assertEqual(self.node.sql("SELECT count(*) AS n FROM comments"), [{"n": 2}])

    def test_a_load_takes_them(self):
        for name, script in MIGRATIONS.items():
            with self.subTest(name):
                self.clear()
                self.assert_passes(run_cairn("load", self.node.address, "-", stdin=BASE + script))
                self.expect_as_in_sqlite(BASE + script, name)

    def test_a_temporary_table_that_others_might_see_is_refused(self):
        self.node.sql("CREATE TABLE kept(a)")
        self.node.sql("INSERT INTO kept VALUES(1)")
        scripts = {
            "BEGIN;\nCREATE TEMP TABLE x(a);\nCOMMIT;\n": ":2: INVALID_ARGUMENT: a TEMP table",
            "BEGIN;\nCREATE TEMP TABLE x(a);\nDROP TABLE y.x;\nCOMMIT;\n": ":2: INVALID_ARGUMENT: a TEMP table",
            "BEGIN;\nCREATE TEMP TABLE x(a);\nSAVEPOINT s; DROP TABLE x; ROLLBACK TO s;\nCOMMIT;\n":
                ":2: INVALID_ARGUMENT: a TEMP table",
            "BEGIN;\nCREATE TEMP TABLE x(a);\nALTER TABLE X RENAME TO y;\nCREATE TABLE x(a);\nDROP TABLE x;\nCOMMIT;\n":
                ":3: INVALID_ARGUMENT: a TEMP table of a transaction is not altered",
            # The cluster has a table of that name, which the script must not drop.
            "BEGIN;\nCREATE TEMP TABLE IF NOT EXISTS kept(a);\nDROP TABLE kept;\nCOMMIT;\n": ":2: ",
            "CREATE TEMP TABLE x(a);\n": "TEMP objects belong to one connection",
        }
        for script, message in scripts.items():
            with self.subTest(script):
                done = self.shell(script)
                self.assertEqual(done.returncode, 1)
                self.assertIn(message, done.stderr)
        self.assertEqual(self.node.sql("SELECT a FROM kept"), [{"a": 1}])
        self.assertEqual(self.node.sql("SELECT name FROM sqlite_schema WHERE name IN ('x', 'y')"), [])
        self.assert_passes(self.shell("BEGIN;\nCREATE TEMPORARY TABLE IF NOT EXISTS \"a \"\"b\" AS SELECT a FROM kept;\n"
                                      "INSERT INTO kept SELECT a + 1 FROM [a \"b];\n"
                                      "DROP TABLE IF EXISTS `A \"b`;\nCOMMIT;\n"))
        self.assertEqual(self.node.sql("SELECT a FROM kept"), [{"a": 1}, {"a": 2}])


if __name__ == "__main__":
    harness.main()
