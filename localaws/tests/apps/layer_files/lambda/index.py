import subprocess


def handler(event, context):
    with open("/opt/words.txt") as words:
        return subprocess.run(
            ["/opt/bin/shout"], stdin=words, capture_output=True, text=True, check=True
        ).stdout
