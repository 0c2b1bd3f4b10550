"""The official Python SDKs in a process of their own: tool runner and structured parse. Run by path.

Prints what was checked, one finding a line; anything wrong is an exception.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pydantic
from anthropic import Anthropic, beta_tool
from openai import OpenAI, pydantic_function_tool

URL, MODEL = os.environ["PATCHBAY_URL"], os.environ["PATCHBAY_MODEL"]
KEY = os.environ["PATCHBAY_CLIENT_KEY"]
QUESTION: Any = [{"role": "user", "content": "How is the weather?"}]
CITY = "simulated city"  # what the simulated model asks for
TOLD = f"The tool answered: 12 degrees in {CITY}, grüß Gott"


class Person(pydantic.BaseModel):
    """A structured answer."""

    name: str
    age: int


class GetWeather(pydantic.BaseModel):
    """The input of the OpenAI tool."""

    city: str

    def answer(self) -> str:
        """What the tool says."""
        assert self.city == CITY, self.city
        return f"12 degrees in {self.city}, grüß Gott"


@beta_tool
def get_weather(city: str) -> str:
    """Weather of a city.

    Args:
        city: Its name.
    """
    return GetWeather(city=city).answer()


def anthropic_sdk() -> None:
    """Messages: the tool runner plain and streamed, and parse."""
    client = Anthropic(base_url=URL, api_key=KEY, max_retries=0)
    asked: Any = {"model": MODEL, "max_tokens": 1000, "messages": QUESTION}
    final = client.beta.messages.tool_runner(**asked, tools=[get_weather]).until_done()
    assert TOLD in "".join(block.text for block in final.content if block.type == "text"), final
    print("tool runner")
    events = [
        event.type
        for stream in client.beta.messages.tool_runner(**asked, tools=[get_weather], stream=True)
        for event in stream
    ]
    assert events.count("message_stop") == 2, events
    assert {"thinking", "text", "input_json"} <= set(events), events
    print("streamed tool runner with thinking")
    parsed = client.messages.parse(**asked, output_format=Person)
    assert isinstance(parsed.parsed_output, Person), parsed
    print("structured parse")


def openai_chat() -> None:
    """Chat: a streamed tool loop with parsed arguments, and parse."""
    client = OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
    tools = [pydantic_function_tool(GetWeather, name="get_weather")]
    with client.chat.completions.stream(model=MODEL, messages=QUESTION, tools=tools) as stream:
        message = stream.get_final_completion().choices[0].message
    (call,) = message.tool_calls or []
    arguments = call.function.parsed_arguments
    assert isinstance(arguments, GetWeather), call
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": arguments.answer()}
    answered = client.chat.completions.create(model=MODEL, messages=[*QUESTION, message, result], tools=tools)
    assert TOLD in (answered.choices[0].message.content or ""), answered
    print("streamed tool loop with parsed arguments")
    parsed = client.chat.completions.parse(model=MODEL, messages=QUESTION, response_format=Person)
    assert isinstance(parsed.choices[0].message.parsed, Person), parsed
    print("structured parse")


def openai_responses() -> None:
    """Responses: a streamed tool loop with the whole history, previous_response_id, and parse."""
    client = OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
    tools: Any = [
        {
            "type": "function",
            "name": "get_weather",
            "parameters": GetWeather.model_json_schema(),
            "strict": False,
        }
    ]
    with client.responses.stream(model=MODEL, input=QUESTION, tools=tools, store=False) as stream:
        first = stream.get_final_response()
    (call,) = [item for item in first.output if item.type == "function_call"]
    output = GetWeather(**json.loads(call.arguments)).answer()
    result = {"type": "function_call_output", "call_id": call.call_id, "output": output}
    earlier: Any = [item.to_dict() for item in first.output]
    second = client.responses.create(model=MODEL, input=[*QUESTION, *earlier, result], tools=tools)
    assert TOLD in second.output_text, second
    print("streamed tool loop with replayed reasoning")
    third = client.responses.create(model=MODEL, previous_response_id=second.id, input="And now?")
    assert "You said: And now?" in third.output_text, third
    print("previous_response_id")
    parsed = client.responses.parse(model=MODEL, input="Who?", text_format=Person)
    assert isinstance(parsed.output_parsed, Person), parsed
    print("structured parse")


if __name__ == "__main__":
    {"anthropic": anthropic_sdk, "chat": openai_chat, "responses": openai_responses}[sys.argv[1]]()
