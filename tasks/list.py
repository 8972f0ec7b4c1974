"""`run.py list`: the catalogue as a table."""

from stacks.catalogue import ARCHITECTURES


def main() -> None:
    """Print a line for each architecture: its id, its family, its title."""
    rows = [("ID", "FAMILY", "ARCHITECTURE"), *((row.id, row.family, row.title) for row in ARCHITECTURES)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, family, title in rows:
        print(f"{name:{widths[0]}}  {family:{widths[1]}}  {title}")


if __name__ == "__main__":
    main()
