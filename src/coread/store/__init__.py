"""Memory: files of instances, database, work queue, history. The only room with SQL."""
