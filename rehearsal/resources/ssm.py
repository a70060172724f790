"""Parameters of SSM Parameter Store."""

from __future__ import annotations

from rehearsal.resources.base import Inputs, Kind, Outcome, Outputs, kind, present, tag_list


@kind("aws:ssm/parameter:Parameter")
class Parameter(Kind):
    """A parameter; `value` is secret, `insecureValue` is not."""

    taggable = True
    replace_on = frozenset({"name", "type", "keyId"})

    def create(self, name: str, inputs: Inputs) -> Outcome:
        parameter = inputs.get("name") or name
        version = self.aws.client("ssm").put_parameter(
            Name=parameter,
            Value=self._value(inputs),
            Type=inputs["type"],
            Overwrite=bool(inputs.get("overwrite")),
            Tags=tag_list(inputs),
            **present(
                Tier=inputs.get("tier"),
                Description=inputs.get("description"),
                KeyId=inputs.get("keyId"),
                DataType=inputs.get("dataType"),
            ),
        )["Version"]
        return Outcome(parameter, self._outputs(parameter, version, inputs), secrets=("value",))

    def _value(self, inputs: Inputs) -> str:
        value = inputs.get("value")
        return str(inputs["insecureValue"] if value is None else value)

    def _outputs(self, parameter: str, version: int, inputs: Inputs) -> Outputs:
        return {
            "name": parameter,
            "arn": self.aws.arn("ssm", f"parameter/{parameter.lstrip('/')}"),
            "version": version,
            "value": self._value(inputs),
        }

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        ssm = self.aws.client("ssm")
        version = ssm.put_parameter(
            Name=resource_id,
            Value=self._value(new),
            Type=new["type"],
            Overwrite=True,
            **present(Tier=new.get("tier"), Description=new.get("description"), KeyId=new.get("keyId")),
        )["Version"]
        if old.get("tagsAll") != new.get("tagsAll"):
            ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId=resource_id, Tags=tag_list(new))
        return self._outputs(resource_id, version, new)

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("ssm").delete_parameter(Name=resource_id)
