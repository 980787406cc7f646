-- A small blog, with the tables that Django's migrations would make in MySQL and MariaDB.

CREATE TABLE auth_user (
    id           int PRIMARY KEY AUTO_INCREMENT,
    password     varchar(128) NOT NULL,
    last_login   datetime(6),
    is_superuser bool         NOT NULL,
    username     varchar(150) NOT NULL UNIQUE,
    first_name   varchar(150) NOT NULL,
    last_name    varchar(150) NOT NULL,
    email        varchar(254) NOT NULL,
    is_staff     bool         NOT NULL,
    is_active    bool         NOT NULL,
    date_joined  datetime(6)  NOT NULL
);

CREATE TABLE myapp_tag (
    id   bigint PRIMARY KEY AUTO_INCREMENT,
    name varchar(50) NOT NULL,
    slug varchar(50) NOT NULL UNIQUE
);

CREATE TABLE myapp_note (
    id        bigint PRIMARY KEY AUTO_INCREMENT,
    title     varchar(200) NOT NULL,
    slug      varchar(80)  NOT NULL,
    summary   longtext,
    body      longtext     NOT NULL,
    published bool         NOT NULL,
    pub_date  datetime(6)  NOT NULL,
    updated   datetime(6)  NOT NULL,
    views     int unsigned NOT NULL,
    rating    decimal(3, 1),
    user_id   int          NOT NULL,
    FOREIGN KEY (user_id) REFERENCES auth_user (id)
);

CREATE TABLE myapp_note_tags (
    id      bigint PRIMARY KEY AUTO_INCREMENT,
    note_id bigint NOT NULL,
    tag_id  bigint NOT NULL,
    UNIQUE (note_id, tag_id),
    FOREIGN KEY (note_id) REFERENCES myapp_note (id),
    FOREIGN KEY (tag_id) REFERENCES myapp_tag (id)
);

CREATE TABLE myapp_comment (
    id      bigint PRIMARY KEY AUTO_INCREMENT,
    body    longtext    NOT NULL,
    created datetime(6) NOT NULL,
    note_id bigint      NOT NULL,
    user_id int         NOT NULL,
    FOREIGN KEY (note_id) REFERENCES myapp_note (id),
    FOREIGN KEY (user_id) REFERENCES auth_user (id)
);
