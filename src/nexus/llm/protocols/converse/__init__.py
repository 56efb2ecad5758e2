"""The Converse API of AWS Bedrock, spoken to providers only; and the embeddings of its models.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""
