CREATE TABLE author (id bigint PRIMARY KEY AUTO_INCREMENT, name varchar(80) NOT NULL, email text, password varchar(128), mentor_id bigint, FOREIGN KEY (mentor_id) REFERENCES author (id));
CREATE TABLE profile (author_id bigint PRIMARY KEY, bio text, avatar blob, FOREIGN KEY (author_id) REFERENCES author (id));
CREATE TABLE country (code char(2) PRIMARY KEY, name text NOT NULL);
CREATE TABLE city (country char(2) NOT NULL, `no` int NOT NULL, name text, PRIMARY KEY (country, `no`), FOREIGN KEY (country) REFERENCES country (code));
CREATE TABLE book (
    id int PRIMARY KEY, title varchar(200) NOT NULL, price decimal(10, 2), tax decimal(10, 2) GENERATED ALWAYS AS (price * 0.2) STORED, mood enum('calm', 'it''s on'),
    flags set('a', 'b'), doc json, author bigint NOT NULL, editor bigint, country char(2), city_no int, sold tinyint(1), published datetime, `_id` text, `a.b` text, `*` int,
    `we"ird ${x}: #` text, `select` bool,
    FOREIGN KEY (author) REFERENCES author (id), FOREIGN KEY (editor) REFERENCES author (id), FOREIGN KEY (country, city_no) REFERENCES city (country, `no`));
CREATE TABLE tag (id int PRIMARY KEY, name varchar(50) NOT NULL UNIQUE);
CREATE TABLE book_tag (id int PRIMARY KEY AUTO_INCREMENT, book_id int NOT NULL, tag_id int NOT NULL, FOREIGN KEY (book_id) REFERENCES book (id), FOREIGN KEY (tag_id) REFERENCES tag (id) ON DELETE CASCADE);
CREATE TABLE award (book_id int, author_id bigint, year int, PRIMARY KEY (book_id, author_id), FOREIGN KEY (book_id) REFERENCES book (id), FOREIGN KEY (author_id) REFERENCES author (id));
CREATE TABLE follows (from_author_id bigint, to_author_id bigint, PRIMARY KEY (from_author_id, to_author_id), FOREIGN KEY (from_author_id) REFERENCES author (id), FOREIGN KEY (to_author_id) REFERENCES author (id));
CREATE TABLE `order` (id int PRIMARY KEY, `group` text, `from` date);
CREATE TABLE `my.table ${y}` (id int PRIMARY KEY, `null` text, `true` text);
CREATE TABLE log (at datetime, line text);
CREATE TABLE nullable (code varchar(20) UNIQUE, line text);
CREATE TABLE token (token varchar(50) PRIMARY KEY, secret text);
CREATE TABLE measure (id int, at date, value double, PRIMARY KEY (id, at)) PARTITION BY HASH (id) PARTITIONS 2;
CREATE TABLE django_session (session_key varchar(40) PRIMARY KEY, session_data text);
CREATE TABLE schema_migrations (version varchar(40) PRIMARY KEY);
CREATE VIEW recent AS SELECT * FROM book;
CREATE TABLE `Ünï` (id int PRIMARY KEY, `größe` int, `名前` text);
INSERT INTO author VALUES (1, 'Ann', 'ann@example.org', 'x', NULL), (2, 'Bob', NULL, 'y', 1);
INSERT INTO profile VALUES (1, 'hello', 'x');
INSERT INTO country VALUES ('de', 'Germany');
INSERT INTO city VALUES ('de', 1, 'Berlin');
INSERT INTO book (id, title, price, mood, flags, doc, author, editor, country, city_no, sold, published, `_id`, `a.b`, `*`, `we"ird ${x}: #`, `select`)
    VALUES (1, 'One', 3.50, 'it''s on', 'a,b', '{"a": 1}', 1, 2, 'de', 1, 1, '2020-01-01', 'i', 'ab', 7, 'w', true);
INSERT INTO tag VALUES (1, 'red');
INSERT INTO book_tag (book_id, tag_id) VALUES (1, 1);
INSERT INTO award VALUES (1, 2, 2001);
INSERT INTO follows VALUES (1, 2);
INSERT INTO `order` VALUES (1, 'g', '2020-02-02');
INSERT INTO `my.table ${y}` VALUES (1, 'n', 't');
INSERT INTO measure VALUES (1, '2020-05-05', 1.5);
INSERT INTO `Ünï` VALUES (1, 2, 'x');
