"""`run.py list`: the catalogue as a table."""

from stacks.catalogue import ARCHITECTURES
from tasks import console


def main(_: list[str]) -> int:
    """Print a line for each architecture: its id, its family, how much of it runs here, its title."""
    rows = [("ID", "FAMILY", "PROOF", "ARCHITECTURE")]
    rows += [(row.id, row.family, row.proof, row.title) for row in ARCHITECTURES]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for name, family, proof, title in rows:
        print(f"{name:{widths[0]}}  {family:{widths[1]}}  {proof:{widths[2]}}  {title}")
    return 0


if __name__ == "__main__":
    console.start(main)
