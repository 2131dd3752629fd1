"""How models write tool calls: each chat format as structural tags, and back.

base.py (what a format is) → framed.py (Hermes, Llama, Mistral, DeepSeek), qwen_xml.py, harmony.py → registry.py
"""
