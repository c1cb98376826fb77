"""What several test folders share. Fixtures live in modules that ``tests/conftest.py`` lists."""
