"""Tests of mailport.operator."""  # noqa: A005 - tests.operator, which shadows nothing
