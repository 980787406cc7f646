CREATE TYPE mood AS ENUM ('calm', 'it''s on');
CREATE TABLE author (id bigserial PRIMARY KEY, name varchar(80) NOT NULL, email text, password varchar(128), mentor_id bigint REFERENCES author (id));
CREATE TABLE profile (author_id bigint PRIMARY KEY REFERENCES author (id), bio text, avatar bytea);
CREATE TABLE country (code char(2) PRIMARY KEY, name text NOT NULL);
CREATE TABLE city (country char(2) NOT NULL REFERENCES country (code), "no" int NOT NULL, name text, PRIMARY KEY (country, "no"));
CREATE TABLE book (
    id uuid PRIMARY KEY, title varchar(200) NOT NULL, price numeric(10, 2), tax numeric(10, 2) GENERATED ALWAYS AS (price * 0.2) STORED, mood mood,
    tags text[], doc jsonb, author bigint NOT NULL REFERENCES author (id), editor bigint REFERENCES author (id), country char(2), city_no int,
    published timestamptz, "_id" text, "a.b" text, "*" int, "we""ird ${x}: #" text, "select" boolean, FOREIGN KEY (country, city_no) REFERENCES city (country, "no"));
CREATE TABLE tag (id int PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE book_tag (id serial PRIMARY KEY, book_id uuid NOT NULL REFERENCES book (id), tag_id int NOT NULL REFERENCES tag (id));
CREATE TABLE award (book_id uuid REFERENCES book (id), author_id bigint REFERENCES author (id), year int, PRIMARY KEY (book_id, author_id));
CREATE TABLE follows (from_author_id bigint REFERENCES author (id), to_author_id bigint REFERENCES author (id), PRIMARY KEY (from_author_id, to_author_id));
CREATE TABLE "Order" (id int PRIMARY KEY, "user" text, "from" date);
CREATE TABLE "order" (id int PRIMARY KEY, "group" text);
CREATE TABLE "my.table ${y}" (id int PRIMARY KEY, "null" text, "true" text);
CREATE TABLE log (at timestamptz, line text);
CREATE TABLE nullable (code text UNIQUE, line text);
CREATE TABLE history (id int PRIMARY KEY, log text);
ALTER TABLE history REPLICA IDENTITY NOTHING;
CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY);
CREATE TABLE token (token text PRIMARY KEY, secret text);
CREATE TABLE measure (id int, at date, value float8, book_id uuid REFERENCES book (id), PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE measure_1 PARTITION OF measure FOR VALUES FROM ('2020-01-01') TO ('2030-01-01');
CREATE TABLE django_migrations (id int PRIMARY KEY, app text);
CREATE TABLE django_session (session_key text PRIMARY KEY, session_data text);
CREATE TABLE schema_migrations (version text PRIMARY KEY);
CREATE VIEW recent AS SELECT * FROM book;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM book;
CREATE SCHEMA "other side";
CREATE TABLE "other side".book (id int PRIMARY KEY, title text, original uuid REFERENCES public.book (id));
CREATE TABLE "other side"."Ünï ✓" (id int PRIMARY KEY, "größe" int, "名前" text);
INSERT INTO author VALUES (1, 'Ann', 'ann@example.org', 'x', NULL), (2, 'Bob', NULL, 'y', 1);
INSERT INTO profile VALUES (1, 'hello', '\x00');
INSERT INTO country VALUES ('de', 'Germany');
INSERT INTO city VALUES ('de', 1, 'Berlin');
INSERT INTO book (id, title, price, mood, tags, doc, author, editor, country, city_no, published, "_id", "a.b", "*", "we""ird ${x}: #", "select")
    VALUES ('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'One', 3.50, 'it''s on', '{a,b}', '{"a": 1}', 1, 2, 'de', 1, '2020-01-01', 'i', 'ab', 7, 'w', true);
INSERT INTO tag VALUES (1, 'red');
INSERT INTO book_tag (book_id, tag_id) SELECT id, 1 FROM book;
INSERT INTO award SELECT id, 2, 2001 FROM book;
INSERT INTO follows VALUES (1, 2);
INSERT INTO "Order" VALUES (1, 'u', '2020-02-02');
INSERT INTO "order" VALUES (1, 'g');
INSERT INTO "my.table ${y}" VALUES (1, 'n', 't');
INSERT INTO measure SELECT 1, '2020-05-05', 1.5, id FROM book;
INSERT INTO "other side".book SELECT 1, 'copy', id FROM book;
INSERT INTO "other side"."Ünï ✓" VALUES (1, 2, 'x');
