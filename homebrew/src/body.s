; The hero's body: moves it, and keeps it out of what is solid.

.include "memory.inc"

FALL_MAX   = 4 ; pixels a frame

; In pixels from his place. He is 32 high when tall, 16 when small; both end at FEET.
BODY_LEFT  = 2
BODY_RIGHT = 13
FEET       = 32
TOE_LEFT   = 3
TOE_RIGHT  = 12
HEAD_LEFT  = 5 ; narrower than the body: at a corner he slips by
HEAD_RIGHT = 10
HEAD_SMALL = 17
HEAD_TALL  = 3
LANDING    = 8 ; so deep in the ground he is put onto it

.segment "CODE"

player_collisions:
  ldx #0
  jsr move_x
  jsr stay_on_screen
  jsr walls
  jsr gravity
  jsr move_y
  lda obj_y_speed
  bmi @up
  jmp floor
@up:
  jmp ceiling

; The screen's edges stop him.
stay_on_screen:
  lda obj_x
  sec
  sbc edge
  sta t0
  lda obj_x_page
  sbc edge_page
  bcc @left
  bne @right ; cannot be, but costs nothing
  lda t0
  cmp #256 - 16
  bcc @done
@right:
  lda edge
  clc
  adc #256 - 16
  sta obj_x
  lda edge_page
  adc #0
  jmp @stop
@left:
  lda edge
  sta obj_x
  lda edge_page
@stop:
  sta obj_x_page
  lda #0
  sta obj_x_speed
  sta x_speed_frac
  sta obj_x_sub
@done:
  rts

; Looks along both sides of his body, and puts him beside what is there.
walls:
  ldy #wall_heights_small - wall_heights
  lda power
  beq :+
  ldy #0
: sty t6
@height:
  ldy t6
  lda wall_heights, y
  beq @done
  tay
  lda #BODY_RIGHT
  jsr probe_solid
  bcs @right
  ldy t6
  lda wall_heights, y
  tay
  lda #BODY_LEFT
  jsr probe_solid
  bcs @left
  inc t6
  bne @height ; always
@done:
  rts
@right:
  lda probe_x
  and #$F0
  sec
  sbc #BODY_RIGHT + 1
  sta obj_x
  lda probe_page
  sbc #0
  sta obj_x_page
  lda obj_x_speed
  bmi @done
  bpl @stop ; always
@left:
  lda probe_x
  and #$F0
  clc
  adc #16 - BODY_LEFT
  sta obj_x
  lda probe_page
  adc #0
  sta obj_x_page
  lda obj_x_speed
  bpl @done
@stop:
  lda #0
  sta obj_x_speed
  sta x_speed_frac
  sta obj_x_sub
  rts

gravity:
  lda obj_y_speed
  bpl @down
  lda rising
  beq @down
  lda gravity_up
  jmp :+
@down:
  lda gravity_down
: ldy #FALL_MAX
  jmp fall

; Lands him on what is below his toes; else he falls.
floor:
  ldy #FEET
  lda #TOE_LEFT
  jsr probe_solid
  bcs :+
  ldy #FEET
  lda #TOE_RIGHT
  jsr probe_solid
  bcc @none
: lda obj_y
  and #$0F
  cmp #LANDING
  bcs @none ; too deep: that is a wall
  lda obj_y
  and #$F0
  sta obj_y
  lda #0
  sta obj_y_speed
  sta obj_y_frac
  sta obj_y_sub
  sta obj_air
  lda jump_down ; should he walk off
  sta gravity_down
  rts
@none:
  lda obj_air
  bne :+
  lda #AIR_FALL
  sta obj_air
: rts

; Stops his rise at what is above his head, and hits it.
ceiling:
  ldy #HEAD_SMALL
  lda power
  beq :+
  ldy #HEAD_TALL
: sty t6
  lda #8 ; what he hits is above his middle, or else above an ear
  jsr probe_solid
  bcs @hit
  ldy t6
  lda #HEAD_LEFT
  jsr probe_solid
  bcs @hit
  ldy t6
  lda #HEAD_RIGHT
  jsr probe_solid
  bcc @done
@hit:
  lda obj_y
  clc
  adc t6
  and #$F0
  clc
  adc #16
  sec
  sbc t6
  sta obj_y
  lda #0
  sta obj_y_sub
  sta obj_y_frac
  sta rising
  lda #1
  sta obj_y_speed
  jmp hit_block
@done:
  rts

.segment "RODATA"

; How far below his place his sides are looked at; 0 ends. The lowest is some pixels above his
; feet, so that he gets onto a step that he almost reached.
wall_heights:
  .byte 5
wall_heights_small:
  .byte 19, 28, 0
