"""Create buckets in the S3 store that the AWS_* variables name, where they are missing.

python docker/make_buckets.py NAME...
"""

import sys

import boto3


def make_buckets(names: list[str]) -> None:
    """Create the buckets that do not exist yet.

    Args:
        names: of the buckets; those of others are an error of boto3.
    """
    client = boto3.client("s3")
    existing = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for name in names:
        if name not in existing:
            client.create_bucket(Bucket=name)
        print(f"bucket {name}: {'there' if name in existing else 'made'}")


if __name__ == "__main__":
    make_buckets(sys.argv[1:])
